import { matchesGlob } from '../gpio/line-selection.ts';
import type { ConfigFault, ConfigPath } from './config-error.ts';
import { isGlob, isSingleLine, type LineSelector, parseLineSelector } from './line-selector.ts';
import type { ChipConfig, Config, CoprocessorConfig } from './schema.ts';
import { suggest } from './suggestion.ts';
import { faultAt, type YamlSource } from './yaml-source.ts';

/** `sun_path` of unix(7), less the NUL at its end. */
const MAX_SOCKET_PATH_BYTES = 107;

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
  checkExports(config, report);
  config.log.lines.forEach((line, index) => {
    checkSelector(line, ['log', 'lines', index], config.chips, report);
  });
  return faults;
}

type Report = (path: ConfigPath, wrong: string, right: string, at?: 'key' | 'value') => void;

function checkCoprocessor(path: ConfigPath, coprocessor: CoprocessorConfig, report: Report): void {
  const { memory, doorbell, exec, resourceTable } = coprocessor;
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
  } else if (doorbell.type === 'eventfd' && !memory.some(({ type }) => type === 'memfd')) {
    report(
      [...path, 'doorbell', 'type'],
      'is "eventfd" without a memory of type memfd, and eventfds are handed over with it',
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

function checkChips({ chips, coprocessors }: Config, report: Report): void {
  const chipOfVdev = new Map<string, string>();
  if (Object.keys(chips).length === 0) {
    report(['chips'], 'is empty', 'expected at least one chip, such as sim: { type: sim, lines: 32 }');
  }
  for (const [name, chip] of Object.entries(chips)) {
    if (chip.type === 'sim') continue;
    if (!Object.hasOwn(coprocessors, chip.coprocessor)) {
      const right = suggest(chip.coprocessor, Object.keys(coprocessors), 'co-processors');
      report(['chips', name, 'coprocessor'], `no co-processor is named "${chip.coprocessor}"`, right);
      continue;
    }
    const vdev = `vdev ${chip.vdev} of "${chip.coprocessor}"`;
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

function checkExports({ chips, exports }: Config, report: Report): void {
  const exportOfSocket = new Map<string, string>();
  const ownerOfLine = new Map<string, string>();
  for (const [name, { socket, lines }] of Object.entries(exports)) {
    const path: ConfigPath = ['exports', name];
    checkSocketPath([...path, 'socket'], socket, report);
    const other = exportOfSocket.get(socket);
    if (other === undefined) {
      exportOfSocket.set(socket, name);
    } else {
      report(
        [...path, 'socket'],
        `${socket} is the socket of "${other}" already`,
        'give every export a socket of its own',
      );
    }

    const indexOfLine = new Map<string, number>();
    const indexOfName = new Map<string, number>();
    lines.forEach(({ line, name: newName, access }, index) => {
      const linePath = [...path, 'lines', index];
      const selector = checkSelector(line, linePath, chips, report);
      if (newName !== undefined) {
        if (!isSingleLine(selector)) {
          report(
            [...linePath, 'name'],
            `is one name for all lines of "${line}"`,
            'rename lines one by one, without "*" and "?"',
          );
        }
        const before = indexOfName.get(newName);
        if (before !== undefined) {
          report(
            [...linePath, 'name'],
            `lines[${before}] has the name "${newName}" already`,
            'choose another name',
          );
        }
        indexOfName.set(newName, index);
      }
      if (!isSingleLine(selector)) return;
      const before = indexOfLine.get(line);
      if (before !== undefined) {
        report(linePath, `lines[${before}] is "${line}" already`, 'export a line once in a device');
      }
      indexOfLine.set(line, index);
      if (access !== 'owner') return;
      const owner = ownerOfLine.get(line);
      if (owner !== undefined && owner !== name) {
        report(
          [...linePath, 'access'],
          `"${line}" is owned by "${owner}" already`,
          'give a line one owner; the others take read',
        );
      }
      ownerOfLine.set(line, name);
    });
  }
}

/** Checks that a selector can mean something, and takes it apart. */
function checkSelector(text: string, path: ConfigPath, chips: Config['chips'], report: Report): LineSelector {
  const selector = parseLineSelector(text)!;
  const matching = Object.entries(chips).filter(([name]) => matchesGlob(selector.chip, name));
  const hasChips = Object.keys(chips).length > 0;
  if (matching.length === 0 && hasChips) {
    const wrong = `"${text}" names no chip`;
    report(path, wrong, suggest(selector.chip, Object.keys(chips), 'chips'));
  } else if (hasChips && !matching.some(([, chip]) => mayHaveLine(chip, selector))) {
    const [name, chip] = matching[0]!;
    const count = chip.type === 'sim' ? chip.lines : 0;
    const last = count - 1;
    const range = count === 1 ? 'the line sim0 (#0)' : `the lines sim0 (#0) to sim${last} (#${last})`;
    report(path, `"${text}" is no line`, `"${name}" has ${range}`);
  }
  return selector;
}

function mayHaveLine(chip: ChipConfig, { line, offset }: LineSelector): boolean {
  if (chip.type !== 'sim') return true;
  if (offset !== undefined) return offset < chip.lines;
  if (line === undefined) return false;
  if (isGlob(line)) {
    return Array.from({ length: chip.lines }, (_, index) => `sim${index}`).some((name) =>
      matchesGlob(line, name),
    );
  }
  const [, digits] = /^sim(0|[1-9]\d{0,4})$/.exec(line) ?? [];
  return digits !== undefined && Number(digits) < chip.lines;
}

function checkSocketPath(path: ConfigPath, socket: string, report: Report): void {
  const sizeBytes = Buffer.byteLength(socket);
  if (sizeBytes <= MAX_SOCKET_PATH_BYTES) return;
  report(
    path,
    `${socket} has ${sizeBytes} bytes`,
    `expected at most ${MAX_SOCKET_PATH_BYTES} bytes, the limit for Unix sockets`,
  );
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
