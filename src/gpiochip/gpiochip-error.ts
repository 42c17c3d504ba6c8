/** What went wrong, in one word that stays the same across releases. */
export type GpiochipErrorCode =
  /** There is nothing at the path. */
  | 'ERR_NO_CHIP'
  /** What is at the path is no GPIO chip. */
  | 'ERR_NOT_GPIOCHIP'
  /** This user may not use the chip. */
  | 'ERR_PERMISSION'
  /** The kernel does not have version 2 of the GPIO character device's interface. */
  | 'ERR_KERNEL_TOO_OLD'
  /** The packages that make ioctls possible do not load here. */
  | 'ERR_FFI_UNAVAILABLE'
  /** The chip cannot be opened for another reason; the message has it. */
  | 'ERR_OPEN';

/** The error of everything in `gpiochip/`. */
export class GpiochipError extends Error {
  /** Stable across releases; compare this instead of the message. */
  readonly code: GpiochipErrorCode;

  /** @param message what, where, what would be right, with the values */
  constructor(code: GpiochipErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'GpiochipError';
    this.code = code;
  }
}
