import { existsSync, readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { RPMSG_ADDR_ANY } from '../wire/rpmsg-uapi.ts';

/** Devices of the rpmsg bus that are the kernel's own: its control device and its name service. */
const INTERNAL = ['rpmsg_ctrl', 'rpmsg_ns'];
/** Makes a `/dev/rpmsgN` of the channel it is bound to: `rpmsg-raw` by itself, others with driver_override. */
const CHARACTER_DRIVER = 'rpmsg_chrdev';

/** A channel that the co-processor announced, as the kernel shows it in `/sys/bus/rpmsg/devices`. */
export interface KernelChannel {
  readonly name: string;
  /** Of the co-processor's endpoint. */
  readonly dst: number;
  /** Its folder; gone when the channel is destroyed. */
  readonly folder: string;
  /** The driver that uses it; null while none does. */
  readonly driver: string | null;
  /** `rpmsg0`: the character device that the kernel made of it; null when it did not. */
  readonly device: string | null;
}

function read(path: string): string {
  return readFileSync(path, 'utf8').trim();
}

/** The folder that all devices of one co-processor's rpmsg bus are in: that of the control device. Null when it is not there. */
export function busOfControl(sysfsRoot: string, control: string): string | null {
  try {
    // .../virtio0/virtio0.rpmsg_ctrl.0.0/rpmsg/rpmsg_ctrl0; `device` leads two up.
    return dirname(realpathSync(join(sysfsRoot, 'class/rpmsg', control, 'device')));
  } catch {
    return null;
  }
}

/** The channels there are, of one bus or of all. */
export function listChannels(sysfsRoot: string, bus: string | null): KernelChannel[] {
  const parent = join(sysfsRoot, 'bus/rpmsg/devices');
  let entries: string[];
  try {
    entries = readdirSync(parent).sort();
  } catch {
    return [];
  }
  const found: KernelChannel[] = [];
  for (const entry of entries) {
    try {
      const folder = realpathSync(join(parent, entry));
      if (bus !== null && dirname(folder) !== bus) continue;
      const name = read(join(folder, 'name'));
      if (INTERNAL.includes(name)) continue;
      found.push({
        name,
        folder,
        dst: Number(read(join(folder, 'dst'))) >>> 0,
        driver: driverOf(folder),
        device: deviceOf(folder),
      });
    } catch {
      // It went away between two looks.
    }
  }
  return found;
}

function driverOf(folder: string): string | null {
  try {
    return basename(readlinkSync(join(folder, 'driver')));
  } catch {
    return null;
  }
}

function deviceOf(folder: string): string | null {
  try {
    return readdirSync(join(folder, 'rpmsg')).find((entry) => /^rpmsg\d+$/.test(entry)) ?? null;
  } catch {
    return null;
  }
}

/** Whether another driver of the kernel uses a channel. */
export function isTaken({ driver }: KernelChannel): boolean {
  return driver !== null && driver !== CHARACTER_DRIVER;
}

/** The character devices that a control device has made for an endpoint, by whomever, and that have no address of their own. */
export function madeDevices(sysfsRoot: string, control: string, channel: KernelChannel): string[] {
  const parent = join(sysfsRoot, 'class/rpmsg');
  try {
    const of = `${realpathSync(join(parent, control))}/`;
    return readdirSync(parent).filter((entry) => {
      const folder = join(parent, entry);
      if (!/^rpmsg\d+$/.test(entry) || !realpathSync(folder).startsWith(of)) return false;
      const { name, src, dst } = attributesOf(folder);
      return name === channel.name && dst === channel.dst && src === RPMSG_ADDR_ANY;
    });
  } catch {
    return [];
  }
}

/** The kernel prints the addresses of a character device as signed numbers. */
function attributesOf(folder: string): { name: string; src: number; dst: number } {
  const address = (file: string): number => Number(read(join(folder, file))) >>> 0;
  return { name: read(join(folder, 'name')), src: address('src'), dst: address('dst') };
}

/** The channel that a character device leads to. Null when it is gone. */
export function channelOfDevice(sysfsRoot: string, device: string): KernelChannel | null {
  try {
    const folder = realpathSync(join(sysfsRoot, 'class/rpmsg', device));
    const { name, dst } = attributesOf(folder);
    return { name, dst, folder, driver: null, device };
  } catch {
    return null;
  }
}

/** The control devices there are, for messages. */
export function listControls(sysfsRoot: string): string[] {
  try {
    return readdirSync(join(sysfsRoot, 'class/rpmsg')).filter((entry) => /^rpmsg_ctrl\d+$/.test(entry));
  } catch {
    return [];
  }
}

export function isThere(folder: string): boolean {
  return existsSync(folder);
}
