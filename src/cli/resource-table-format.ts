import { FEATURE_EVENT_STREAM } from '../wire/event-stream.ts';
import {
  FW_RSC_ADDR_ANY,
  type LocatedEntry,
  type LocatedVdev,
  type ResourceTable,
  RSC_TYPE,
} from '../wire/resource-table.ts';
import {
  CONFIG_SIZE,
  decodeConfig,
  VIRTIO_GPIO_F_IRQ,
  VIRTIO_ID_GPIO,
  type VirtioGpioConfig,
} from '../wire/virtio-gpio.ts';
import { vringLayout } from '../wire/vring.ts';
import { WireError } from '../wire/wire-error.ts';

const VIRTIO_ID_RPMSG = 7;

/** Device IDs that firmware offers (virtio 1.2, 5). */
const DEVICE_NAMES: Readonly<Record<number, string>> = {
  1: 'net',
  2: 'block',
  3: 'console',
  4: 'rng',
  [VIRTIO_ID_RPMSG]: 'rpmsg',
  11: 'rproc serial',
  18: 'input',
  19: 'vsock',
  34: 'i2c',
  [VIRTIO_ID_GPIO]: 'gpio',
  45: 'spi',
};

/** Feature bits that every device may offer (virtio 1.2, 6). */
const COMMON_FEATURES: Readonly<Record<number, string>> = {
  24: 'NOTIFY_ON_EMPTY',
  27: 'ANY_LAYOUT',
  28: 'INDIRECT_DESC',
  29: 'EVENT_IDX',
};

/** Feature bits of one device. */
const DEVICE_FEATURES: Readonly<Record<number, Readonly<Record<number, string>>>> = {
  [VIRTIO_ID_GPIO]: { [VIRTIO_GPIO_F_IRQ]: 'IRQ', [FEATURE_EVENT_STREAM]: 'EVENT_STREAM' },
  [VIRTIO_ID_RPMSG]: { 0: 'NS' },
};

/** Bits of the device status (virtio 1.2, 2.1). */
const STATUS_NAMES: Readonly<Record<number, string>> = {
  0: 'ACKNOWLEDGE',
  1: 'DRIVER',
  2: 'DRIVER_OK',
  3: 'FEATURES_OK',
  6: 'NEEDS_RESET',
  7: 'FAILED',
};

/** Machines of co-processors (System V ABI, `e_machine`). */
const MACHINE_NAMES: Readonly<Record<number, string>> = {
  3: 'x86',
  40: 'Arm',
  62: 'x86-64',
  83: 'AVR',
  94: 'Xtensa',
  144: 'PRU',
  164: 'Hexagon',
  183: 'AArch64',
  189: 'MicroBlaze',
  243: 'RISC-V',
};

/** Name of an ELF file's machine, or its number. */
export function machineName(machine: number): string {
  return MACHINE_NAMES[machine] ?? `machine ${machine}`;
}

/** A table for people, one line a fact. */
export function formatTable(table: ResourceTable): string[] {
  const vdevs = table.entries.filter(({ kind }) => kind === 'vdev');
  return table.entries.flatMap((entry) => formatEntry(entry, vdevs.indexOf(entry)));
}

function formatEntry(entry: LocatedEntry, vdevIndex: number): string[] {
  switch (entry.kind) {
    case 'vdev':
      return formatVdev(entry, vdevIndex);
    case 'carveout':
    case 'devmem': {
      const { kind, name, da, pa, len, flags } = entry;
      const range = `da ${hexAddress(da)}, pa ${hexAddress(pa)}, ${bytes(len)}`;
      return [`${kind} ${quoted(name)}: ${range}, flags 0x${flags.toString(16)}`];
    }
    case 'trace':
      return [`trace ${quoted(entry.name)}: da ${hexAddress(entry.da)}, ${bytes(entry.len)}`];
    case 'unknown':
      return [`${entryOwner(entry.type)} entry of type ${entry.type} at offset ${entry.offset}`];
  }
}

function formatVdev(vdev: LocatedVdev, index: number): string[] {
  const { id, notifyid, dfeatures, gfeatures, status, config, vrings } = vdev;
  const lines = [
    `vdev ${index}: ${id} (${DEVICE_NAMES[id] ?? 'unknown'}), notifyid ${notifyid}`,
    `  offered:  ${bits(dfeatures, 8, featureName(id))}`,
    `  accepted: ${bits(gfeatures, 8, featureName(id))}`,
    `  status:   ${bits(status, 2, (bit) => STATUS_NAMES[bit])}`,
    `  config:   ${formatConfig(id, config)}`,
  ];
  vrings.forEach(({ da, num, align, notifyid: vringNotifyid }, vringIndex) => {
    const { sizeBytes } = vringLayout(num, align);
    const size = `${num} descriptors, align ${align}, ${bytes(sizeBytes)}`;
    lines.push(`  vring ${vringIndex}: da ${hexAddress(da)}, ${size}, notifyid ${vringNotifyid}`);
  });
  return lines;
}

function formatConfig(id: number, config: Uint8Array): string {
  if (config.length === 0) return 'none';
  const gpio = gpioConfig(id, config);
  if (gpio !== undefined) return `${gpio.lineCount} lines, ${bytes(gpio.namesSize)} of names`;
  return `${bytes(config.length)}: ${hexBytes(config.subarray(0, 64))}${config.length > 64 ? ' ...' : ''}`;
}

/** Undefined where the bytes are no valid configuration of a GPIO device; they are shown as they are. */
function gpioConfig(id: number, config: Uint8Array): VirtioGpioConfig | undefined {
  if (id !== VIRTIO_ID_GPIO || config.length < CONFIG_SIZE) return undefined;
  try {
    return decodeConfig(config);
  } catch (error) {
    if (error instanceof WireError) return undefined;
    throw error;
  }
}

/** A table for programs; addresses are numbers, and null where the driver side allocates. */
export function tableToJson(table: ResourceTable): object {
  return { sizeBytes: table.sizeBytes, entries: table.entries.map(entryToJson) };
}

function entryToJson(entry: LocatedEntry): object {
  switch (entry.kind) {
    case 'carveout':
    case 'devmem':
      return {
        kind: entry.kind,
        offset: entry.offset,
        name: entry.name,
        da: addressOrNull(entry.da),
        pa: addressOrNull(entry.pa),
        sizeBytes: entry.len,
        flags: entry.flags,
      };
    case 'trace':
      return {
        kind: entry.kind,
        offset: entry.offset,
        name: entry.name,
        da: addressOrNull(entry.da),
        sizeBytes: entry.len,
      };
    case 'vdev':
      return {
        kind: entry.kind,
        offset: entry.offset,
        id: entry.id,
        device: DEVICE_NAMES[entry.id] ?? null,
        notifyid: entry.notifyid,
        dfeatures: entry.dfeatures,
        offered: bitNames(entry.dfeatures, featureName(entry.id)),
        gfeatures: entry.gfeatures,
        accepted: bitNames(entry.gfeatures, featureName(entry.id)),
        status: entry.status,
        config: hexBytes(entry.config),
        ...gpioJson(entry),
        vrings: entry.vrings.map(({ offset, da, num, align, notifyid }) => ({
          offset,
          da: addressOrNull(da),
          num,
          align,
          notifyid,
          sizeBytes: vringLayout(num, align).sizeBytes,
        })),
      };
    case 'unknown':
      return { kind: entry.kind, offset: entry.offset, type: entry.type };
  }
}

function gpioJson({ id, config }: LocatedVdev): object {
  const gpio = gpioConfig(id, config);
  return gpio === undefined ? {} : { lines: gpio.lineCount, namesSizeBytes: gpio.namesSize };
}

/** A string of the firmware that is safe on a terminal. */
export function printable(text: string): string {
  return text.replace(
    /[^ -~]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}

function quoted(name: string): string {
  return name === '' ? '(unnamed)' : printable(name);
}

function entryOwner(type: number): string {
  return type >= RSC_TYPE.VENDOR_START && type <= RSC_TYPE.VENDOR_END ? 'vendor' : 'unknown';
}

function featureName(id: number): (bit: number) => string | undefined {
  return (bit) => DEVICE_FEATURES[id]?.[bit] ?? COMMON_FEATURES[bit];
}

function bits(value: number, digits: number, nameOf: (bit: number) => string | undefined): string {
  const names = bitNames(value, nameOf);
  return `0x${value.toString(16).padStart(digits, '0')} ${names.length === 0 ? 'none' : names.join(' ')}`;
}

function bitNames(value: number, nameOf: (bit: number) => string | undefined): string[] {
  const names: string[] = [];
  for (let bit = 0; bit < 32; bit++) {
    if (((value >>> bit) & 1) === 1) names.push(nameOf(bit) ?? `bit${bit}`);
  }
  return names;
}

function hexAddress(value: number): string {
  return value === FW_RSC_ADDR_ANY ? 'any' : `0x${value.toString(16).padStart(8, '0')}`;
}

function addressOrNull(value: number): number | null {
  return value === FW_RSC_ADDR_ANY ? null : value;
}

function hexBytes(value: Uint8Array): string {
  return Array.from(value, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
}

function bytes(count: number): string {
  return `${count} byte${count === 1 ? '' : 's'}`;
}
