import {
  RESULT_BUSY,
  RESULT_FAILED,
  RESULT_INVALID,
  RESULT_REFUSED,
  RESULT_UNAVAILABLE,
} from '../gpio/chip.ts';

/** What the kernel's refusal means to a consumer, and what to do about it. */
export interface Refusal {
  /** A RESULT_ number. */
  readonly result: number;
  readonly remedy: string;
}

/** `user` is who uses the line, as the kernel shows it; '' when it does not say. */
function busy(user: string): Refusal {
  const own = user === 'rproc-gpio' ? ' (another rproc-gpio, or the same chip under another name)' : '';
  return {
    result: RESULT_BUSY,
    remedy: `it is in use by ${user === '' ? 'somebody that the kernel does not name' : `"${user}"`}${own}; end that use, or take the line out of the configuration`,
  };
}

/**
 * By the errno's name.
 *
 * @param path of the chip's device file
 * @param user who uses the line, asked for when it is busy
 */
export function refusalOf(code: string, path: string, user: () => string): Refusal {
  switch (code) {
    case 'EBUSY':
      return busy(user());
    case 'EPERM':
    case 'EACCES':
      return {
        result: RESULT_REFUSED,
        remedy: `this user may open ${path}, but not do that; look at what restricts the service (systemd DeviceAllow=, SystemCallFilter=, a security module)`,
      };
    case 'ENODEV':
      return { result: RESULT_UNAVAILABLE, remedy: 'the kernel has removed the chip' };
    case 'EMFILE':
    case 'ENFILE':
      return {
        result: RESULT_FAILED,
        remedy: 'a line in use takes one descriptor; raise the limit (ulimit -n, systemd LimitNOFILE=)',
      };
    case 'EINVAL':
    case 'ENXIO':
    case 'EOPNOTSUPP':
      return { result: RESULT_INVALID, remedy: "the chip's driver cannot do that on this line" };
    default:
      return { result: RESULT_FAILED, remedy: 'the kernel log (dmesg) may say more' };
  }
}
