import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Files of a certificate. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** An authority for a test, in a folder, which makes certificates with OpenSSL's program. */
export class TestAuthority {
  readonly ca: Certificate;
  readonly #folder: string;

  constructor(folder: string, name = 'ca') {
    this.#folder = folder;
    this.ca = { cert: join(folder, `${name}.pem`), key: join(folder, `${name}.key`) };
    this.#openssl([
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
      ...['-subj', `/CN=test ${name}`, '-days', '2', '-out', this.ca.cert, '-keyout', this.ca.key],
    ]);
  }

  #openssl(args: readonly string[]): void {
    execFileSync('openssl', args, { cwd: this.#folder, stdio: ['ignore', 'ignore', 'pipe'] });
  }

  /** @param subjectAltName such as `IP:127.0.0.1` or `DNS:broker` @param days negative for one that has expired */
  issue(name: string, subjectAltName: string, days = 1): Certificate {
    const cert = join(this.#folder, `${name}.pem`);
    const key = join(this.#folder, `${name}.key`);
    const request = join(this.#folder, `${name}.csr`);
    const extensions = join(this.#folder, `${name}.ext`);
    this.#openssl([
      ...['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
      ...['-subj', `/CN=${name}`, '-out', request, '-keyout', key],
    ]);
    writeFileSync(extensions, `subjectAltName=${subjectAltName}\n`);
    this.#openssl([
      ...['x509', '-req', '-in', request, '-CA', this.ca.cert, '-CAkey', this.ca.key, '-CAcreateserial'],
      ...['-days', `${days}`, '-extfile', extensions, '-out', cert],
    ]);
    return { cert, key };
  }
}

/** What a server takes. */
export function contents({ cert, key }: Certificate): { cert: Buffer; key: Buffer } {
  return { cert: readFileSync(cert), key: readFileSync(key) };
}
