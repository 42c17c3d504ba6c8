import { closeSync, openSync, realpathSync, statSync, watch } from 'node:fs';
import { basename } from 'node:path';
import { ioctl } from '../libc.ts';
import { openPoll, POLL_READABLE, readDescriptor } from '../native.ts';
import { GpiochipError } from './gpiochip-error.ts';

/** The kernel as a gpiochip needs it, so that tests can be the kernel. */
export interface GpioKernel {
  /** Opens a chip's character device. @throws GpiochipError */
  open(path: string): number;
  /** @throws an Error whose `code` is the errno's name; `tried` goes into its message */
  ioctl(fd: number, request: number, argument: Uint8Array, tried: string): void;
  /** One read of a descriptor that is polled. @returns the bytes, or a negative errno */
  read(fd: number, into: Uint8Array): number;
  /** Watches for what can be read, until closed. `status` is a negative errno when watching has ended. @throws Error */
  poll(fd: number, callback: (status: number) => void): { close(): void };
  /** Tells of whatever happens to the file at `path`, its removal among it, until closed. @throws Error */
  watch(path: string, callback: () => void): { close(): void };
  close(fd: number): void;
}

/** Numbers of a device file as Linux packs them into `st_rdev` (sys/sysmacros.h). */
function deviceNumbers(rdev: number): string {
  const minor = (rdev & 0xff) + Math.floor(rdev / 0x100000) * 0x100;
  return `${(rdev >>> 8) & 0xfff}:${minor}`;
}

/**
 * Looks before opening: to open whatever a path names can do things (a watchdog begins to run).
 * @throws GpiochipError ERR_NOT_GPIOCHIP
 */
function requireGpiochip(path: string): void {
  const status = statSync(path);
  const isNone = (what: string): never => {
    throw new GpiochipError(
      'ERR_NOT_GPIOCHIP',
      `${path} is ${what}, not a GPIO chip; gpiodetect lists the chips of this machine, and /dev/gpiochipN would be right`,
    );
  };
  if (!status.isCharacterDevice()) isNone(status.isDirectory() ? 'a folder' : 'not even a character device');
  const numbers = deviceNumbers(status.rdev);
  let subsystem: string;
  try {
    subsystem = basename(realpathSync(`/sys/dev/char/${numbers}/subsystem`));
  } catch {
    // Without sysfs, as in some containers, the first ioctl tells.
    return;
  }
  if (subsystem !== 'gpio') isNone(`character device ${numbers} of the subsystem ${subsystem}`);
}

function openError(path: string, error: unknown): GpiochipError {
  if (error instanceof GpiochipError) return error;
  const { code, message } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new GpiochipError(
        'ERR_NO_CHIP',
        `${path} does not exist; gpiodetect lists the chips of this machine (its driver may not be loaded)`,
        error,
      );
    case 'EACCES':
    case 'EPERM':
      return new GpiochipError(
        'ERR_PERMISSION',
        `${path}: permission denied (${code}); reading and writing it must be allowed to this user: make it a member of the group that owns the file (often gpio: usermod -aG gpio USER), add a udev rule, or run as root; in a systemd unit look at DeviceAllow= and PrivateDevices=`,
        error,
      );
    case 'ENODEV':
    case 'ENXIO':
      return new GpiochipError('ERR_NO_CHIP', `${path}: the chip behind it has gone (${code})`, error);
    default:
      return new GpiochipError('ERR_OPEN', `${path} cannot be opened: ${message}`, error);
  }
}

/** The kernel that this process runs on. Main thread only, as ioctls are (libc.ts). */
export const RUNNING_KERNEL: GpioKernel = {
  open(path) {
    try {
      requireGpiochip(path);
      return openSync(path, 'r+');
    } catch (error) {
      throw openError(path, error);
    }
  },
  ioctl(fd, request, argument, tried) {
    ioctl(fd, request, argument, tried);
  },
  read: readDescriptor,
  poll: (fd, callback) => openPoll(fd, POLL_READABLE, callback),
  watch(path, callback) {
    const watcher = watch(path, { persistent: false }, callback);
    // It ends by itself then, and what is watched for is noticed later: with the next operation.
    watcher.on('error', () => watcher.close());
    return watcher;
  },
  close: closeSync,
};
