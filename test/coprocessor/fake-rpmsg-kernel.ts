import { mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { RpmsgKernel } from '../../src/coprocessor/kernel-rpmsg-kernel.ts';
import type { Uevent } from '../../src/coprocessor/uevents.ts';
import {
  decodeEndpointInfo,
  RPMSG_CREATE_EPT_IOCTL,
  RPMSG_DESTROY_EPT_IOCTL,
} from '../../src/wire/rpmsg-uapi.ts';
import { errnoError } from './fake-remoteproc.ts';
import { scratchFolder, textFile } from './scratch-folder.ts';

const EAGAIN = 11;
const EPIPE = 32;
const EBADF = 9;

/** A `/dev/rpmsgN`. */
class FakeDevice {
  readonly dst: number;
  readonly inbox: Uint8Array[] = [];
  readonly sent: string[] = [];
  /** Buffers that the co-processor has not got yet. */
  room = Number.POSITIVE_INFINITY;
  /** Its endpoint is gone. */
  isDead = false;
  fd: number | null = null;
  readable: ((status: number) => void) | null = null;

  constructor(dst: number) {
    this.dst = dst;
  }
}

/** Linux' rpmsg as far as a transport can tell: sysfs, character devices, uevents. */
export class FakeRpmsgKernel implements RpmsgKernel {
  readonly sysfsRoot = scratchFolder();
  readonly devRoot = '/dev';
  readonly devices = new Map<string, FakeDevice>();
  readonly listeners = new Set<(event: Uevent) => void>();
  readonly calls: string[] = [];
  /** Errno's name by path: what opening ends with. */
  readonly refused = new Map<string, string>();
  readonly #controls = new Map<string, string>();
  readonly #fds = new Map<number, string>();
  hasUevents = true;
  #nextFd = 100;
  #nextDevice = 0;

  get openCount(): number {
    return this.#fds.size;
  }

  #bus(bus: string): string {
    return join(this.sysfsRoot, 'devices', bus);
  }

  #link(target: string, folder: string, name = basename(target)): void {
    mkdirSync(join(this.sysfsRoot, folder), { recursive: true });
    symlinkSync(target, join(this.sysfsRoot, folder, name));
  }

  #addToBus(bus: string, id: string, name: string, dst: number): string {
    const folder = join(this.#bus(bus), `${bus}.${id}`);
    textFile(join(folder, 'name'), `${name}\n`);
    textFile(join(folder, 'dst'), `0x${dst.toString(16)}\n`);
    this.#link(folder, 'bus/rpmsg/devices');
    return folder;
  }

  addControl(control = 'rpmsg_ctrl0', bus = 'virtio0'): void {
    const folder = this.#addToBus(bus, 'rpmsg_ctrl.0.0', 'rpmsg_ctrl', 0);
    this.#addToBus(bus, 'rpmsg_ns.53.53', 'rpmsg_ns', 53);
    const device = join(folder, 'rpmsg', control);
    mkdirSync(device, { recursive: true });
    symlinkSync(folder, join(device, 'device'));
    this.#link(device, 'class/rpmsg');
    this.#controls.set(control, device);
  }

  #addDevice(parent: string, name: string, dst: number): string {
    const device = `rpmsg${this.#nextDevice++}`;
    const folder = join(parent, device);
    textFile(join(folder, 'name'), `${name}\n`);
    // As the kernel prints them: signed.
    textFile(join(folder, 'src'), '-1\n');
    textFile(join(folder, 'dst'), `${dst | 0}\n`);
    this.#link(folder, 'class/rpmsg');
    this.devices.set(device, new FakeDevice(dst));
    return device;
  }

  /** The co-processor announces a channel. @param driver what the kernel binds to it, if anything */
  announce(name: string, dst: number, driver: string | null = null, bus = 'virtio0'): void {
    const folder = this.#addToBus(bus, `${name}.-1.${dst}`, name, dst);
    if (driver !== null) symlinkSync(join('/sys/bus/rpmsg/drivers', driver), join(folder, 'driver'));
    if (driver === 'rpmsg_chrdev') this.#addDevice(join(folder, 'rpmsg'), name, dst);
  }

  /** The co-processor destroys a channel. */
  destroy(name: string, dst: number, bus = 'virtio0'): void {
    const id = `${bus}.${name}.-1.${dst}`;
    rmSync(join(this.#bus(bus), id), { recursive: true });
    rmSync(join(this.sysfsRoot, 'bus/rpmsg/devices', id));
  }

  /** The bus goes: the co-processor was stopped. Who polls a device hears of it first. */
  removeBus(bus = 'virtio0'): void {
    rmSync(this.#bus(bus), { recursive: true });
    for (const device of this.devices.values()) {
      device.isDead = true;
      device.readable?.(-EBADF);
    }
    this.devices.clear();
  }

  uevent(action = 'add', subsystem = 'rpmsg'): void {
    for (const listener of [...this.listeners]) listener({ action, devpath: '/devices/x', subsystem });
  }

  #deviceAt(fd: number): FakeDevice | undefined {
    return this.devices.get(this.#fds.get(fd) ?? '');
  }

  device(name: string): FakeDevice {
    const device = this.devices.get(name);
    if (device === undefined) throw new Error(`no ${name}; there are ${[...this.devices.keys()].join()}`);
    return device;
  }

  /** A message of the co-processor. */
  deliver(name: string, text: string): void {
    const device = this.device(name);
    device.inbox.push(Buffer.from(text));
    device.readable?.(0);
  }

  open(path: string): number {
    const refused = this.refused.get(path);
    if (refused !== undefined) throw errnoError(refused);
    const name = basename(path);
    const device = this.devices.get(name);
    if (device === undefined && !this.#controls.has(name)) throw errnoError('ENOENT');
    if (device !== undefined && device.fd !== null) throw errnoError('EBUSY');
    const fd = this.#nextFd++;
    this.#fds.set(fd, name);
    if (device !== undefined) device.fd = fd;
    this.calls.push(`open ${name}`);
    return fd;
  }

  ioctl(fd: number, request: number, argument: Uint8Array): void {
    const name = this.#fds.get(fd) ?? '';
    if (request === RPMSG_CREATE_EPT_IOCTL) {
      const info = decodeEndpointInfo(argument);
      this.calls.push(`create ${info.name} ${info.src | 0}>${info.dst} on ${name}`);
      this.#addDevice(this.#controls.get(name) ?? '', info.name, info.dst);
    } else if (request === RPMSG_DESTROY_EPT_IOCTL && argument.length === 0) {
      this.calls.push(`destroy ${name}`);
      if (!this.devices.delete(name)) throw errnoError('EINVAL');
      rmSync(join(this.sysfsRoot, 'class/rpmsg', name));
    } else throw errnoError('ENOTTY');
  }

  read(fd: number, into: Uint8Array): number {
    const device = this.#deviceAt(fd);
    if (device === undefined || device.isDead) return -EPIPE;
    const message = device.inbox.shift();
    if (message === undefined) return -EAGAIN;
    into.set(message);
    return message.length;
  }

  write(fd: number, from: Uint8Array): number {
    const device = this.#deviceAt(fd);
    if (device === undefined || device.isDead) return -EPIPE;
    if (device.room <= 0) return -EAGAIN;
    device.room--;
    device.sent.push(Buffer.from(from).toString());
    return from.length;
  }

  poll(fd: number, callback: (status: number) => void): { close(): void } {
    const device = this.#deviceAt(fd);
    if (device === undefined) throw errnoError('EBADF');
    device.readable = callback;
    return {
      close: () => {
        device.readable = null;
      },
    };
  }

  watch(listener: (event: Uevent) => void): { close(): void } {
    if (!this.hasUevents) throw errnoError('EPROTONOSUPPORT');
    this.listeners.add(listener);
    return { close: () => this.listeners.delete(listener) };
  }

  close(fd: number): void {
    const device = this.#deviceAt(fd);
    if (device !== undefined) device.fd = null;
    if (!this.#fds.delete(fd)) throw errnoError('EBADF');
  }
}
