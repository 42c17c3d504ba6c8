import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A certificate and its private key, as PEM files. */
export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
}

/** What brokers and clients on the loopback interface are called. */
const SUBJECT_NAMES = 'IP:127.0.0.1,DNS:localhost';

/** A certificate authority of the lab: `openssl ca` in a folder of its own. */
export class CertificateAuthority {
  /** PEM file of its own certificate. */
  readonly certificate: string;
  readonly #folder: string;

  /** @throws Error with the words of openssl */
  constructor(folder: string, name: string) {
    this.#folder = join(folder, name);
    this.certificate = join(this.#folder, 'ca.pem');
    mkdirSync(this.#folder);
    writeFileSync(join(this.#folder, 'index.txt'), '');
    writeFileSync(join(this.#folder, 'openssl.cnf'), this.#configuration());
    const subject = ['-subj', `/CN=rproc-gpio lab ${name}`];
    this.#openssl('req', '-x509', ...newKey('ca.key'), ...subject, '-days', '2', '-out', 'ca.pem');
  }

  /** Issues a certificate, valid now or, as the one that nobody renewed, until yesterday. @throws Error with the words of openssl */
  issue(name: string, options: { readonly expired?: boolean } = {}): CertificateFiles {
    const day = (offset: number) => {
      const date = new Date(Date.now() + offset * 86_400_000);
      return `${date.toISOString().slice(0, 19).replace(/[-T:]/g, '')}Z`;
    };
    const [from, until] = options.expired ? [day(-3), day(-1)] : [day(-1), day(1)];
    this.#openssl('req', '-new', ...newKey(`${name}.key`), '-subj', `/CN=${name}`, '-out', `${name}.csr`);
    const files = ['-in', `${name}.csr`, '-out', `${name}.pem`];
    this.#openssl('ca', '-batch', '-notext', '-startdate', from, '-enddate', until, ...files);
    return { cert: join(this.#folder, `${name}.pem`), key: join(this.#folder, `${name}.key`) };
  }

  #openssl(command: string, ...parameters: readonly string[]): void {
    // With its own configuration: a machine's openssl.cnf may say anything.
    execFileSync('openssl', [command, '-config', 'openssl.cnf', ...parameters], {
      cwd: this.#folder,
      stdio: 'pipe',
    });
  }

  #configuration(): string {
    return `[ca]
default_ca = lab
[lab]
dir = .
database = index.txt
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
rand_serial = yes
unique_subject = no
default_md = sha256
policy = any
x509_extensions = leaf
[any]
commonName = supplied
[leaf]
basicConstraints = critical,CA:FALSE
subjectAltName = ${SUBJECT_NAMES}
[req]
distinguished_name = empty
x509_extensions = authority
[empty]
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
`;
  }
}

/** Elliptic curves: an RSA key takes openssl up to a second. */
function newKey(file: string): string[] {
  return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', file];
}
