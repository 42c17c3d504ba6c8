import { checkLines } from './check-lines.ts';
import { checkMqtt } from './check-mqtt.ts';
import { checkSocketPath, checkSockets } from './check-sockets.ts';
import type { ConfigFault, ConfigPath } from './config-error.ts';
import type { Report } from './report.ts';
import type { Config, CoprocessorConfig } from './schema.ts';
import { suggest } from './suggestion.ts';
import { faultAt, type YamlSource } from './yaml-source.ts';

/** What the schema cannot say: rules between keys. Whether a co-processor's line exists is known only at run time. */
export function crossCheck(config: Config, source: YamlSource): ConfigFault[] {
  const faults: ConfigFault[] = [];
  const report: Report = (path, wrong, right, at = 'value') => {
    faults.push(faultAt(source, path, at, wrong, right));
  };
  for (const [name, coprocessor] of Object.entries(config.coprocessors)) {
    checkCoprocessor(['coprocessors', name], coprocessor, report);
  }
  checkChips(config, report);
  checkLines(config, report);
  checkSockets(config, report);
  if (config.mqtt !== undefined) checkMqtt(config.mqtt, report);
  return faults;
}

function checkCoprocessor(path: ConfigPath, coprocessor: CoprocessorConfig, report: Report): void {
  const { memory, doorbell, exec, remoteproc, resourceTable } = coprocessor;
  if (exec !== undefined && remoteproc !== undefined) {
    report(
      [...path, 'remoteproc'],
      'is given besides exec',
      "the firmware is a process or the kernel's: leave one of them out",
      'key',
    );
  }
  checkMemory([...path, 'memory'], coprocessor, report);

  const ranges = memory.map(({ deviceAddress, sizeBytes }) => rangeOf(deviceAddress, sizeBytes));
  if ('deviceAddress' in resourceTable) {
    const at = resourceTable.deviceAddress;
    const isInside = ranges.some(({ start, end }) => end === undefined || (at >= start && at < end));
    if (!isInside) {
      report(
        [...path, 'resourceTable', 'deviceAddress'],
        `${hex(at)} lies in none of the memories`,
        `expected an address in ${ranges.map(showRange).join(' or ')}`,
      );
    }
  }

  if (doorbell.type === 'eventfd' && exec === undefined) {
    report(
      [...path, 'doorbell', 'type'],
      'is "eventfd" without exec, and nobody holds the other end',
      'add exec, or use socket, uio or poll',
    );
  } else if (doorbell.type === 'eventfd' && !memory.some(({ type }) => type === 'memfd' || type === 'file')) {
    report(
      [...path, 'doorbell', 'type'],
      'is "eventfd" without a memory of type memfd or file, and eventfds are handed over with it',
      'add a memfd to memory, or use socket, uio or poll',
    );
  }
  if (doorbell.type === 'socket') checkSocketPath([...path, 'doorbell', 'path'], doorbell.path, report);
  if (doorbell.type === 'uio') {
    if (doorbell.encoding !== 'constant' && doorbell.value !== undefined) {
      report(
        [...path, 'doorbell', 'value'],
        `is given, but the encoding is "${doorbell.encoding}"`,
        'leave it out, or set encoding: constant',
      );
    }
  }
}

function checkMemory(path: ConfigPath, { memory, exec }: CoprocessorConfig, report: Report): void {
  const memfds = memory.flatMap(({ type }, index) => (type === 'memfd' ? [index] : []));
  if (memfds.length > 0 && exec === undefined) {
    report(
      [...path, memfds[0]!, 'type'],
      'is "memfd" without exec, and nobody shares the memory',
      'add exec, or use file, uio or devmem',
    );
  }
  if (memfds.length > 1) {
    report(
      [...path, memfds[1]!, 'type'],
      `is "memfd", as is memory[${memfds[0]}]`,
      'give one memfd: the process gets one memory, as descriptor 3',
    );
  }
  memory.forEach(({ deviceAddress, sizeBytes }, index) => {
    const range = rangeOf(deviceAddress, sizeBytes);
    if (range.end !== undefined && range.end > 2 ** 32) {
      report(
        [...path, index, 'sizeBytes'],
        `the memory ends at ${hex(range.end - 1)}`,
        'expected an end below 4 GiB: device addresses have 32 bits',
      );
    }
    for (let other = 0; other < index; other++) {
      const { deviceAddress: otherAddress, sizeBytes: otherSizeBytes } = memory[other]!;
      const otherRange = rangeOf(otherAddress, otherSizeBytes);
      if (!overlaps(range, otherRange)) continue;
      report(
        [...path, index, 'deviceAddress'],
        `${showRange(range)} overlaps memory[${other}], ${showRange(otherRange)}`,
        'give each memory a range of its own',
      );
    }
  });
}

/** Dialects that know ports, and neither how many lines there are nor what they are called. */
const LINES_NEEDED = new Set(['srtm', 'rpmsg-io']);

function checkDialect(
  path: ConfigPath,
  chip: Extract<Config['chips'][string], { readonly dialect: string }>,
  report: Report,
): void {
  const { dialect, lines, channel } = chip;
  if (LINES_NEEDED.has(dialect) && lines === undefined) {
    report(
      [...path, 'dialect'],
      `is "${dialect}" without lines, which this protocol cannot tell`,
      'list them: lines: [{ port: 0, pin: 5, name: BUTTON }]',
    );
  }
  const seen = new Map<string, number>();
  lines?.forEach(({ port, pin }, index) => {
    const key = `${port}.${pin}`;
    const before = seen.get(key);
    seen.set(key, index);
    if (before !== undefined)
      report(
        [...path, 'lines', index],
        `is port ${port}, pin ${pin}, as is lines[${before}]`,
        'list a line once',
      );
  });
  if (dialect === 'virtio-gpio' || dialect === 'metux') {
    for (const [key, value] of Object.entries({ lines, channel })) {
      if (value === undefined) continue;
      report([...path, key], `is for the dialects over rpmsg, not for "${dialect}"`, 'leave it out', 'key');
    }
  }
  if (chip.type === 'rpmsg' && chip.control !== undefined && chip.device !== undefined)
    report([...path, 'device'], 'is given besides control', 'name one of them', 'key');
}

function checkChips({ chips, coprocessors }: Config, report: Report): void {
  const chipOfVdev = new Map<string, string>();
  const chipOfDevice = new Map<string, string>();
  const checkDevice = (path: string, name: string): void => {
    const other = chipOfDevice.get(path);
    chipOfDevice.set(path, other ?? name);
    if (other === undefined) return;
    report(
      ['chips', name, 'path'],
      `${path} is chip "${other}" already`,
      'give every chip a device of its own',
    );
  };
  if (Object.keys(chips).length === 0) {
    report(['chips'], 'is empty', 'expected at least one chip, such as sim: { type: sim, lines: 32 }');
  }
  for (const [name, chip] of Object.entries(chips)) {
    if (chip.type !== 'coprocessor') {
      if (chip.type === 'gpiochip') checkDevice(chip.path, name);
      if (chip.type === 'rpmsg') checkDialect(['chips', name], chip, report);
      continue;
    }
    checkDialect(['chips', name], chip, report);
    if (!Object.hasOwn(coprocessors, chip.coprocessor)) {
      const right = suggest(chip.coprocessor, Object.keys(coprocessors), 'co-processors');
      report(['chips', name, 'coprocessor'], `no co-processor is named "${chip.coprocessor}"`, right);
      continue;
    }
    // Chips on rpmsg may share a vdev: each has a channel of its own.
    const channel = chip.channel === undefined ? '' : `channel "${chip.channel}" of `;
    const vdev = `${channel}vdev ${chip.vdev} of "${chip.coprocessor}"`;
    const other = chipOfVdev.get(vdev);
    if (other === undefined) {
      chipOfVdev.set(vdev, name);
    } else {
      report(
        ['chips', name],
        `${vdev} is chip "${other}" already`,
        'give every chip a vdev of its own',
        'key',
      );
    }
  }
}

interface AddressRange {
  readonly start: number;
  /** The first address after the range; undefined when its size is known only at run time. */
  readonly end: number | undefined;
}

function rangeOf(start: number, sizeBytes: number | undefined): AddressRange {
  return { start, end: sizeBytes === undefined ? undefined : start + sizeBytes };
}

/** A range of unknown size holds at least its first address. */
function overlaps(a: AddressRange, b: AddressRange): boolean {
  return a.start < (b.end ?? b.start + 1) && b.start < (a.end ?? a.start + 1);
}

function showRange({ start, end }: AddressRange): string {
  return end === undefined ? `${hex(start)} and up` : `${hex(start)} to ${hex(end - 1)}`;
}

function hex(value: number): string {
  return `0x${value.toString(16)}`;
}
