import { closeSync, constants, openSync } from 'node:fs';
import { ioctl } from '../libc.ts';
import { openPoll, POLL_READABLE, readDescriptor, writeDescriptor } from '../native.ts';
import { type Uevent, Uevents } from './uevents.ts';

/** The kernel as its rpmsg devices need it, so that tests can be the kernel. */
export interface RpmsgKernel {
  /** Where sysfs is mounted. */
  readonly sysfsRoot: string;
  /** Where device files are. */
  readonly devRoot: string;
  /** Opens a device file for reading and writing, non-blocking. @throws an Error whose `code` is the errno's name */
  open(path: string): number;
  /** @throws an Error whose `code` is the errno's name; `tried` goes into its message */
  ioctl(fd: number, request: number, argument: Uint8Array, tried: string): void;
  /** One read. @returns the bytes, or a negative errno */
  read(fd: number, into: Uint8Array): number;
  /** One write. @returns the bytes, or a negative errno */
  write(fd: number, from: Uint8Array): number;
  /** Watches for what can be read, until closed. `status` is a negative errno when watching has ended. @throws Error */
  poll(fd: number, callback: (status: number) => void): { close(): void };
  /** Tells of devices that come and go, until closed. @throws Error where that cannot be had */
  watch(listener: (event: Uevent) => void): { close(): void };
  close(fd: number): void;
}

/** The kernel that this process runs on. Main thread only, as ioctls are (libc.ts). */
export const RUNNING_KERNEL: RpmsgKernel = {
  sysfsRoot: '/sys',
  devRoot: '/dev',
  open: (path) => openSync(path, constants.O_RDWR | constants.O_NONBLOCK),
  ioctl(fd, request, argument, tried) {
    ioctl(fd, request, argument, tried);
  },
  read: readDescriptor,
  write: writeDescriptor,
  poll: (fd, callback) => openPoll(fd, POLL_READABLE, callback),
  watch: (listener) => new Uevents(listener),
  close: closeSync,
};
