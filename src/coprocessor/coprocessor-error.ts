/** What went wrong, in one word that stays the same across releases. */
export type CoprocessorErrorCode =
  /** A memory region cannot be opened, is too short, or overlaps another one. */
  | 'ERR_MEMORY'
  /** Memory was truncated by somebody who shares it. */
  | 'ERR_MEMORY_LOST'
  /** The resource table is not where it should be, or its bytes are wrong. */
  | 'ERR_RESOURCE_TABLE'
  /** The firmware's file cannot be read, or has no resource table. */
  | 'ERR_FIRMWARE'
  /** A virtio device of the table cannot be bound. */
  | 'ERR_VDEV'
  /** There is no room for vrings or buffers. */
  | 'ERR_CARVEOUT'
  /** The doorbell cannot be opened or does not fit the firmware. */
  | 'ERR_DOORBELL'
  /** The firmware's process cannot be started, or ended. */
  | 'ERR_EXEC'
  /** The firmware's process was ended by a signal before it was up. */
  | 'ERR_CRASHED'
  /** The firmware did not come up in time. */
  | 'ERR_START_TIMEOUT'
  /** An rpmsg channel does not come up, or its bus cannot be started. */
  | 'ERR_RPMSG'
  /** The kernel's remoteproc is not there, or cannot be started, stopped or set. */
  | 'ERR_REMOTEPROC'
  /** It was closed while it was starting. */
  | 'ERR_CLOSED'
  /** No co-processor has that name. */
  | 'ERR_COPROCESSOR';

/** The error of everything in `coprocessor/`. */
export class CoprocessorError extends Error {
  /** Stable across releases; compare this instead of the message. */
  readonly code: CoprocessorErrorCode;

  /** @param message what, where, what would be right, with the values */
  constructor(code: CoprocessorErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'CoprocessorError';
    this.code = code;
  }
}

/** Addresses and sizes of memory as people write them. */
export function hex(value: number): string {
  return `0x${value.toString(16)}`;
}

/** What a system call's error says about why a path cannot be used, and what to do about it. */
export function describeOpenError(path: string, error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  switch (code) {
    case 'ENOENT':
      return `${path} does not exist`;
    case 'EACCES':
    case 'EPERM':
      return `${path}: permission denied (${code}): reading and writing it must be allowed to this user (chmod, a udev rule, or run as root)`;
    case 'ENXIO':
    case 'ENODEV':
      return `${path}: no such device (${code}): the driver behind it is not loaded`;
    case 'EISDIR':
      return `${path} is a directory`;
    default:
      return `${path}: ${error instanceof Error ? error.message : String(error)}`;
  }
}
