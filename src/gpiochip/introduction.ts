import {
  CHIP_INFO_SIZE,
  type ChipInfo,
  decodeChipInfo,
  decodeLineInfo,
  GPIO_GET_CHIPINFO_IOCTL,
  GPIO_V2_GET_LINEINFO_IOCTL,
  LINE_INFO_OFFSET_OFFSET,
  LINE_INFO_SIZE,
  type LineInfo,
} from '../wire/gpio-uapi.ts';
import type { GpioKernel } from './gpio-kernel.ts';
import { GpiochipError } from './gpiochip-error.ts';

/** `code` of an error, '' for none. */
export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

/** @throws an Error with the errno's name as `code` */
export function chipInfo(kernel: GpioKernel, fd: number): ChipInfo {
  const bytes = new Uint8Array(CHIP_INFO_SIZE);
  kernel.ioctl(fd, GPIO_GET_CHIPINFO_IOCTL, bytes, 'ask for the chip');
  return decodeChipInfo(bytes);
}

/** @throws an Error with the errno's name as `code` */
export function lineInfo(kernel: GpioKernel, fd: number, offset: number): LineInfo {
  const bytes = new Uint8Array(LINE_INFO_SIZE);
  new DataView(bytes.buffer).setUint32(LINE_INFO_OFFSET_OFFSET, offset, true);
  kernel.ioctl(fd, GPIO_V2_GET_LINEINFO_IOCTL, bytes, 'ask for the line');
  return decodeLineInfo(bytes);
}

/** What an ioctl's failure on a chip that has just been opened means. */
function introductionError(path: string, error: unknown, unknownRequest: GpiochipError): GpiochipError {
  const { message } = error as Error;
  switch (codeOf(error)) {
    case 'ENOTTY':
    case 'EINVAL':
      return unknownRequest;
    case 'ENODEV':
      return new GpiochipError('ERR_NO_CHIP', `${path}: the chip behind it has gone`, error);
    case 'ERR_FFI_UNAVAILABLE':
    case 'ERR_WORKER_THREAD':
      return new GpiochipError('ERR_FFI_UNAVAILABLE', `${path}: a gpiochip needs ioctls: ${message}`, error);
    default:
      return new GpiochipError('ERR_OPEN', `${path}: ${message}`, error);
  }
}

/** Asks a chip that was just opened for itself and its lines' names. @throws GpiochipError */
export function introduce(kernel: GpioKernel, fd: number, path: string): { info: ChipInfo; names: string[] } {
  let unknownRequest = new GpiochipError(
    'ERR_NOT_GPIOCHIP',
    `${path} is not a GPIO chip: it does not answer as one; gpiodetect lists the chips of this machine`,
  );
  try {
    const info = chipInfo(kernel, fd);
    unknownRequest = new GpiochipError(
      'ERR_KERNEL_TOO_OLD',
      `${path}: this kernel has version 1 of the GPIO interface only; version 2 came with Linux 5.10`,
    );
    const names = Array.from({ length: info.lines }, (_, offset) => lineInfo(kernel, fd, offset).name);
    return { info, names };
  } catch (error) {
    throw introductionError(path, error, unknownRequest);
  }
}
