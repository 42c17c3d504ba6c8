import { closeSync, constants, fchmodSync, fstatSync, ftruncateSync, openSync } from 'node:fs';
import { isDead, mapDescriptor, unmap } from '../../native.ts';
import { ResumeState } from './resume-state.ts';

/** The file of a guest's resume state cannot be used. */
export class ResumeFileError extends Error {
  readonly code = 'ERR_RESUME_FILE';
  constructor(path: string, reason: string) {
    super(`resume file ${path}: ${reason}`);
    this.name = 'ResumeFileError';
  }
}

/**
 * A guest's {@link ResumeState} in a mapped file (mode 0600), which outlives this process. It belongs in a folder in memory
 * (/run): a store costs no system call then, and a reboot, after which no guest goes on, takes it away.
 */
export class ResumeFile {
  readonly path: string;
  readonly state: ResumeState;
  readonly #buffer: ArrayBuffer;

  private constructor(path: string, state: ResumeState, buffer: ArrayBuffer) {
    this.path = path;
    this.state = state;
    this.#buffer = buffer;
  }

  /**
   * Opens or makes the file.
   *
   * @param lineCount of the exported device
   * @param identity {@link linesIdentity} of its lines: a file of other lines is begun anew
   * @throws ResumeFileError when it cannot be made, or is no regular file of this user's own
   */
  static open(path: string, lineCount: number, identity: number): ResumeFile {
    const sizeBytes = ResumeState.bytes(lineCount);
    let fd: number;
    try {
      fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
    } catch (error) {
      throw new ResumeFileError(path, `cannot be opened: ${(error as Error).message}`);
    }
    try {
      const status = fstatSync(fd);
      if (!status.isFile()) throw new ResumeFileError(path, 'is no regular file');
      const user = process.geteuid?.();
      if (status.uid !== user)
        throw new ResumeFileError(path, `belongs to user ${status.uid}, this service runs as ${user}`);
      fchmodSync(fd, 0o600);
      // What has another size is not ours, or of another number of lines.
      if (status.size !== sizeBytes) {
        ftruncateSync(fd, 0);
        ftruncateSync(fd, sizeBytes);
      }
      const buffer = mapDescriptor(fd, 0, sizeBytes);
      return new ResumeFile(path, new ResumeState(lineCount, identity, buffer), buffer);
    } catch (error) {
      if (error instanceof ResumeFileError) throw error;
      throw new ResumeFileError(path, (error as Error).message);
    } finally {
      closeSync(fd);
    }
  }

  /** Somebody truncated the file: what it says is lost, the guest goes on as long as this process does. */
  get isDead(): boolean {
    return isDead(this.#buffer);
  }

  /** Unmaps; the file stays. Idempotent. The state must not be used any more. */
  close(): void {
    unmap(this.#buffer);
  }
}
