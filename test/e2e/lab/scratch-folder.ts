import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A folder of one test's own for sockets and files. Its path is short: a Unix socket's may have 107 bytes. */
export class ScratchFolder {
  readonly path = mkdtempSync(join(tmpdir(), 'rg-e2e-'));

  file(name: string): string {
    return join(this.path, name);
  }

  /** Deletes it with all its content. Idempotent. */
  close(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
