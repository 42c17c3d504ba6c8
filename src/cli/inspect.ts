import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import {
  decodeElf,
  type Elf,
  findSection,
  isElf,
  RESOURCE_TABLE_SECTION,
  SHT,
  sectionBytes,
} from '../wire/elf.ts';
import { decodeResourceTable, type ResourceTable, TABLE_OFFSET } from '../wire/resource-table.ts';
import { WireError } from '../wire/wire-error.ts';
import { type Command, UsageError } from './command.ts';
import { formatTable, machineName, printable, tableToJson } from './resource-table-format.ts';
import { visibleJson } from './visible-text.ts';

const USAGE = `Usage: rproc-gpio inspect [--json] [--section NAME] FILE

Prints the resource table of firmware: vdevs, vrings, carveouts, traces.
FILE is the firmware's ELF file, or an image of memory that begins with a table,
such as /proc/PID/fd/N of an emulator or of firmware built for the host.

  -j, --json          print one JSON object
      --section NAME  section of the ELF file (default: .resource_table)
  -h, --help          print this text

Exit code: 0, or 1 when there is no table or a wrong one.
`;

/** `rproc-gpio inspect ELF|MEMORY`. */
export const command: Command = {
  name: 'inspect',
  summary: "print the resource table of a firmware's ELF file or memory",
  usage: USAGE,
  run(args, io) {
    const { values, positionals } = parse(args);
    if (values.help === true) {
      io.stdout.write(USAGE);
      return 0;
    }
    const [file, ...rest] = positionals;
    if (file === undefined) throw new UsageError('inspect: expected a FILE');
    if (rest.length > 0) throw new UsageError(`inspect: unexpected argument "${rest[0]}"`);
    const found = findTable(file, values.section ?? RESOURCE_TABLE_SECTION);
    io.stdout.write(values.json === true ? `${visibleJson(toJson(file, found))}\n` : format(file, found));
    return 0;
  },
};

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        json: { type: 'boolean', short: 'j' },
        section: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    });
  } catch (error) {
    throw new UsageError(`inspect: ${(error as Error).message}`);
  }
}

interface Found {
  /** Undefined for an image of memory. */
  readonly elf?: Elf;
  /** Device address of the table, where the file tells it. */
  readonly address?: number;
  readonly table: ResourceTable;
  /** The file has `ver` 0: the firmware stores it when the table is ready. */
  readonly isUnfinished: boolean;
}

function findTable(file: string, sectionName: string): Found {
  const bytes = readImage(file);
  try {
    if (!isElf(bytes)) return { table: decodeResourceTable(bytes), isUnfinished: false };
    const elf = decodeElf(bytes);
    const section = findSection(elf, sectionName);
    if (section === undefined) {
      const names = elf.sections.map(({ name }) => printable(name)).filter((name) => name !== '');
      const list = names.length === 0 ? 'it has none' : `it has ${names.slice(0, 30).join(' ')}`;
      throw new Error(`${file}: no section ${sectionName}; ${list}`);
    }
    if (section.type === SHT.NOBITS) {
      throw new Error(
        `${file}: section ${sectionName} has no content, the firmware fills it at run time; inspect its memory instead`,
      );
    }
    // Firmware may store the version last, when it is ready: then the file has 0 there.
    const content = sectionBytes(bytes, section).slice();
    const isUnfinished = content.length >= 4 && content.subarray(0, 4).every((byte) => byte === 0);
    if (isUnfinished) content[TABLE_OFFSET.VER] = 1;
    return { elf, address: section.address, table: decodeResourceTable(content), isUnfinished };
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new Error(`${file}: ${error.message}`, { cause: error });
  }
}

/** Devices have no end: only what has a size is read. */
function readImage(file: string): Uint8Array {
  let descriptor: number;
  try {
    descriptor = openSync(file, 'r');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Error(`${file}: cannot be read (${code}); expected an ELF file or an image of memory`, {
      cause: error,
    });
  }
  try {
    if (!fstatSync(descriptor).isFile()) {
      throw new Error(`${file}: not a regular file; expected an ELF file or an image of memory`);
    }
    return readFileSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

function format(file: string, { elf, address, table, isUnfinished }: Found): string {
  const kind = elf === undefined ? 'memory' : `ELF${elf.bits} ${machineName(elf.machine)}`;
  const place = address === undefined ? '' : ` at 0x${address.toString(16).padStart(8, '0')}`;
  const entries = `${table.entries.length} ${table.entries.length === 1 ? 'entry' : 'entries'}`;
  const note = isUnfinished ? ' (version 0: the firmware marks it ready at run time)' : '';
  const head = `${file}: ${kind}, resource table${place}, ${table.sizeBytes} bytes, ${entries}${note}`;
  return `${[head, ...formatTable(table)].join('\n')}\n`;
}

function toJson(file: string, { elf, address, table, isUnfinished }: Found): object {
  return {
    file,
    elf: elf === undefined ? null : { bits: elf.bits, machine: elf.machine },
    deviceAddress: address ?? null,
    version: isUnfinished ? 0 : 1,
    ...tableToJson(table),
  };
}
