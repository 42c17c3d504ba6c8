import { realpathSync } from 'node:fs';
import { basename, join } from 'node:path';
import { encodeEndpointInfo, RPMSG_ADDR_ANY, RPMSG_CREATE_EPT_IOCTL } from '../wire/rpmsg-uapi.ts';
import { CoprocessorError } from './coprocessor-error.ts';
import {
  busOfControl,
  channelOfDevice,
  isTaken,
  type KernelChannel,
  listChannels,
  listControls,
  madeDevices,
} from './kernel-rpmsg-channels.ts';
import type { OpenDevice } from './kernel-rpmsg-endpoint.ts';
import type { RpmsgKernel } from './kernel-rpmsg-kernel.ts';

/** The one channel of which the kernel makes a character device by itself. */
const RAW_CHANNEL = 'rpmsg-raw';

/** Whether a channel's name is what is looked for. */
export function matches(wanted: string | RegExp, name: string): boolean {
  return typeof wanted === 'string' ? wanted === name : new RegExp(wanted.source, wanted.flags).test(name);
}

/** Whether a channel can be opened already: the kernel makes the device of `rpmsg-raw` a moment after it. */
export function isReady({ name, device }: KernelChannel): boolean {
  return name !== RAW_CHANNEL || device !== null;
}

/** A co-processor's rpmsg bus as the kernel shows it: by its control device, or by one character device alone. */
export class KernelRpmsgBus {
  /** For messages: whose it is. */
  readonly #name: string;
  readonly #kernel: RpmsgKernel;
  readonly #controlPath: string;
  readonly #devicePath: string | null;

  constructor(name: string, kernel: RpmsgKernel, controlPath: string, devicePath: string | null) {
    this.#name = name;
    this.#kernel = kernel;
    this.#controlPath = controlPath;
    this.#devicePath = devicePath;
  }

  /** The device that it stands and falls with. */
  get path(): string {
    return this.#devicePath ?? this.#controlPath;
  }

  #error(reason: string, cause?: unknown): CoprocessorError {
    return new CoprocessorError('ERR_RPMSG', `${this.#name}: ${reason}`, cause);
  }

  get #control(): string {
    return basename(this.#controlPath);
  }

  /** `rpmsg0`, also where a udev rule gives it another name. */
  #deviceName(path: string): string {
    try {
      return basename(realpathSync(path));
    } catch {
      return basename(path);
    }
  }

  /** Whether the control device, or the one device, is there. */
  isPresent(): boolean {
    if (this.#devicePath === null) return busOfControl(this.#kernel.sysfsRoot, this.#control) !== null;
    return channelOfDevice(this.#kernel.sysfsRoot, this.#deviceName(this.#devicePath)) !== null;
  }

  /** The channels there are. */
  list(): KernelChannel[] {
    const { sysfsRoot } = this.#kernel;
    if (this.#devicePath !== null) {
      const channel = channelOfDevice(sysfsRoot, this.#deviceName(this.#devicePath));
      return channel === null ? [] : [channel];
    }
    const bus = busOfControl(sysfsRoot, this.#control);
    return bus === null ? [] : listChannels(sysfsRoot, bus);
  }

  /** Why a channel did not come. */
  describeMissing(channel: string | RegExp, timeoutMs: number): string {
    const wanted =
      typeof channel === 'string' ? `rpmsg channel "${channel}"` : `rpmsg channel like ${channel}`;
    const what = `no ${wanted} within ${timeoutMs} ms`;
    const found = this.list();
    if (found.some(({ name }) => name === RAW_CHANNEL && matches(channel, name))) {
      return `${what}: it is announced, but has no character device: is rpmsg_char in the kernel, and loaded?`;
    }
    if (found.length > 0) return `${what}: there are ${found.map(({ name }) => `"${name}"`).join(', ')}`;
    if (this.#devicePath !== null) return `${what}: ${this.#devicePath} is no rpmsg device, or not there`;
    if (this.isPresent()) return `${what}: the co-processor has announced none on ${this.#controlPath}`;
    const controls = listControls(this.#kernel.sysfsRoot).map((control) =>
      join(this.#kernel.devRoot, control),
    );
    const others = controls.length === 0 ? '' : `; there is ${controls.join(', ')}`;
    return `${what}: there is no ${this.#controlPath}${others} (has the co-processor been started by the kernel's remoteproc, and are rpmsg_ctrl and rpmsg_char loaded?)`;
  }

  /**
   * Opens a channel's character device, or makes one.
   * @throws CoprocessorError ERR_RPMSG, or what the kernel's refusal of the ioctl was
   */
  open(channel: KernelChannel): OpenDevice {
    this.#requireFree(channel);
    if (channel.device === null) return this.#openLeft(channel) ?? this.#make(channel);
    return this.#openDevice(this.#devicePath ?? join(this.#kernel.devRoot, channel.device), false);
  }

  #requireFree({ name, folder, driver }: KernelChannel): void {
    if (!isTaken({ name, folder, driver, dst: 0, device: null })) return;
    const { sysfsRoot } = this.#kernel;
    throw this.#error(
      `rpmsg channel "${name}" is used by the kernel's driver ${driver}; to take it from that one: echo ${basename(folder)} > ${join(sysfsRoot, 'bus/rpmsg/drivers', driver ?? '', 'unbind')}`,
    );
  }

  /** One that somebody left behind. */
  #openLeft(channel: KernelChannel): OpenDevice | null {
    const { sysfsRoot, devRoot } = this.#kernel;
    for (const device of madeDevices(sysfsRoot, this.#control, channel)) {
      try {
        return this.#openDevice(join(devRoot, device), true);
      } catch (error) {
        // Somebody else's.
        if ((error as CoprocessorError & { cause: NodeJS.ErrnoException }).cause?.code !== 'EBUSY')
          throw error;
      }
    }
    return null;
  }

  #make(channel: KernelChannel): OpenDevice {
    const { name, dst } = channel;
    const control = this.#openPath(this.#controlPath);
    try {
      const info = encodeEndpointInfo({ name, src: RPMSG_ADDR_ANY, dst });
      this.#kernel.ioctl(
        control,
        RPMSG_CREATE_EPT_IOCTL,
        info,
        `make an endpoint for rpmsg channel "${name}"`,
      );
    } finally {
      this.#kernel.close(control);
    }
    const device = this.#openLeft(channel);
    if (device !== null) return device;
    throw this.#error(
      `${this.#controlPath} has made an endpoint for rpmsg channel "${name}", but no device of it shows in ${join(this.#kernel.sysfsRoot, 'class/rpmsg')}`,
    );
  }

  #openDevice(path: string, isMade: boolean): OpenDevice {
    return { fd: this.#openPath(path), path, isMade };
  }

  #openPath(path: string): number {
    try {
      return this.#kernel.open(path);
    } catch (error) {
      throw this.#error(this.#describeRefusal(path, error), error);
    }
  }

  #describeRefusal(path: string, error: unknown): string {
    switch ((error as NodeJS.ErrnoException).code) {
      case 'EACCES':
      case 'EPERM':
        return `${path}: permission denied: reading and writing it must be allowed to this user (a udev rule, SUBSYSTEM=="rpmsg", GROUP="...", MODE="0660", or run as root)`;
      case 'EBUSY':
        return `${path} is open in another program (fuser ${path} says which)`;
      case 'ENOENT':
        return `${path} does not exist: are rpmsg_ctrl and rpmsg_char loaded, and is there a devtmpfs or udev?`;
      default:
        return `${path}: ${error instanceof Error ? error.message : String(error)}`;
    }
  }
}
