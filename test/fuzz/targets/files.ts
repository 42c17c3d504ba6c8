import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { command as inspectCommand } from '../../../src/cli/inspect.ts';
import { parseRecord } from '../../../src/coprocessor/kernel-log.ts';
import { MAX_LINE_LENGTH, splitLines } from '../../../src/coprocessor/line-splitter.ts';
import { parseUevent } from '../../../src/coprocessor/uevents.ts';
import type { Edge } from '../../../src/gpio/chip.ts';
import type { GpioKernel } from '../../../src/gpiochip/gpio-kernel.ts';
import type { HeldLine } from '../../../src/gpiochip/held-line.ts';
import { LineEvents } from '../../../src/gpiochip/line-events.ts';
import * as uapi from '../../../src/wire/gpio-uapi.ts';
import { WireError } from '../../../src/wire/wire-error.ts';
import { ByteSource } from '../byte-source.ts';
import { type FuzzTarget, invariant } from '../target.ts';
import { sampleTables } from './sample-tables.ts';

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/;
const EAGAIN = 11;

let folder: string | null = null;

/** A small ELF file of 32 bits whose only named section is the resource table. */
function elfWith(table: Uint8Array): Uint8Array {
  const names = new TextEncoder().encode('\0.resource_table\0.shstrtab\0');
  const tableAt = 52;
  const namesAt = tableAt + table.length;
  const headersAt = Math.ceil((namesAt + names.length) / 4) * 4;
  const bytes = new Uint8Array(headersAt + 3 * 40);
  const view = new DataView(bytes.buffer);
  bytes.set([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1]);
  view.setUint16(16, 2, true);
  view.setUint16(18, 40, true);
  view.setUint32(20, 1, true);
  view.setUint32(32, headersAt, true);
  view.setUint16(40, 52, true);
  view.setUint16(46, 40, true);
  view.setUint16(48, 3, true);
  view.setUint16(50, 2, true);
  bytes.set(table, tableAt);
  bytes.set(names, namesAt);
  const section = (index: number, fields: readonly number[]): void => {
    for (const [at, field] of fields.entries()) view.setUint32(headersAt + index * 40 + at * 4, field, true);
  };
  section(1, [1, 1, 2, 0x1000, tableAt, table.length, 0, 0, 4, 0]);
  section(2, [17, 3, 0, 0, namesAt, names.length, 0, 0, 1, 0]);
  return bytes;
}

/** The command itself, over a file. */
function inspectFile(input: Uint8Array): string {
  folder ??= mkdtempSync(join(tmpdir(), 'rproc-gpio-fuzz-'));
  const path = join(folder, 'firmware');
  writeFileSync(path, input);
  const outputs: string[] = [];
  for (const args of [[path], ['--json', path]]) {
    let text = '';
    const stream = {
      write: (chunk: string): boolean => {
        text += chunk;
        return true;
      },
    };
    try {
      const code = inspectCommand.run(args, { stdout: stream, stderr: stream } as never);
      invariant(code === 0, () => `exit code ${String(code)}`);
      outputs.push(text);
    } catch (error) {
      if (!(error instanceof Error) || error.name === 'InvariantError') throw error;
      const isOurs = error.message.startsWith(`${path}: `) && error.name === 'Error';
      if (!isOurs) throw error;
      invariant(error.message.length < 4096, () => `a message of ${error.message.length} characters`);
      invariant(!CONTROL.test(error.message), () => `the message ${JSON.stringify(error.message)}`);
      outputs.push(
        error.message
          .slice(path.length + 2)
          .replaceAll(/"[^"]*"|0x[0-9a-f]+|\d+/g, 'N')
          .slice(0, 60),
      );
      continue;
    }
    invariant(!CONTROL.test(text), 'a control character is printed');
    invariant(
      text.length < 60 * input.length + 10_000,
      () => `${text.length} characters of ${input.length} bytes`,
    );
    if (args[0] === '--json') JSON.parse(text);
    outputs[outputs.length - 1] = 'printed';
  }
  return outputs.join(' / ');
}

export const inspect: FuzzTarget = {
  name: 'inspect',
  what: 'any file as firmware: its table or what is wrong with it, nothing that moves the cursor of a terminal',
  seeds: () => sampleTables().flatMap((table) => [table, elfWith(table)]),
  run: inspectFile,
  close: () => {
    if (folder !== null) rmSync(folder, { recursive: true, force: true });
    folder = null;
  },
};

const DECODERS = [
  uapi.decodeChipInfo,
  uapi.decodeLineConfig,
  uapi.decodeLineRequest,
  uapi.decodeLineInfo,
  uapi.decodeLineValues,
  uapi.decodeLineEvent,
] as const;

function decode(source: ByteSource): string {
  const decoder = source.pick(DECODERS);
  try {
    decoder(source.rest());
    return `${decoder.name} good`;
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return `${decoder.name} ${error.field}`;
  }
}

/** Reads of a line's descriptor, as the kernel (or who passes itself off as it) may answer them. */
function readEvents(source: ByteSource): string {
  let reads = 0;
  const kernel = {
    read: (_fd: number, into: Uint8Array): number => {
      invariant(++reads <= 64, 'one call reads without end');
      const answer = source.remaining === 0 ? 15 : source.below(16);
      if (answer === 15) return -EAGAIN;
      if (answer === 14) return -source.u8();
      const events = source.below(17);
      const sizeBytes = answer === 13 ? source.below(into.length + 1) : events * uapi.LINE_EVENT_SIZE;
      into.set(source.bytes(Math.min(sizeBytes, 200)));
      for (let at = 0; at + 48 <= sizeBytes && source.below(4) > 0; at += 48)
        into[at + 8] = 1 + source.below(2);
      return sizeBytes;
    },
  } as unknown as GpioKernel;
  const events = new LineEvents(kernel);
  const line = { subscription: {}, fd: 3, offset: 7, lineSeqno: 0, irqType: 3, toldLevel: -1 };
  let edges = 0;
  const told = events.read(line as unknown as HeldLine, ({ offset, level, seq, timestampNs }: Edge) => {
    edges++;
    invariant(offset === 7 && (level === 0 || level === 1), () => `an edge of line ${offset} to ${level}`);
    invariant(Number.isInteger(seq) && seq >= 0 && seq <= 0xffff_ffff, () => `an edge of the number ${seq}`);
    invariant(timestampNs >= 0n, () => `an edge at ${timestampNs}`);
  });
  invariant(told <= 0 && Number.isInteger(told), () => `reading ended with ${told}`);
  invariant(Number.isInteger(events.dropped) && events.dropped >= 0, () => `${events.dropped} dropped`);
  return `events ${told} ${edges > 0} ${events.malformed > 0} ${events.dropped > 0}`;
}

export const gpioUapi: FuzzTarget = {
  name: 'gpio-uapi',
  what: "the kernel's structures and line events of any bytes: edges that can be, or a fault",
  seeds: () => [
    ...DECODERS.map((_, index) => Uint8Array.from([0, index, ...new Uint8Array(600)])),
    Uint8Array.from([1, 0, 2, ...new Uint8Array(96).fill(1), 1, 1, 15]),
    Uint8Array.from([1, 13, 50, 0, ...new Uint8Array(50), 14, 5]),
  ],
  run: (input) => {
    const source = new ByteSource(input);
    return source.below(2) === 0 ? decode(source) : readEvents(source);
  },
};

/** Firmware's output, in whatever pieces it comes. */
function splitOutput(source: ByteSource): Promise<string> {
  const stream = new PassThrough();
  let longest = 0;
  let count = 0;
  splitLines(stream, (line) => {
    count++;
    longest = Math.max(longest, line.length);
    invariant(!line.includes('\n'), 'a line with a newline in it');
  });
  while (source.remaining > 0) {
    const piece = source.bytes(1 + source.below(30));
    for (let left = source.below(4) === 0 ? source.u8() : 1; left > 0; left--) stream.write(piece);
  }
  stream.end();
  return new Promise((resolve, reject) => {
    stream.once('end', () => {
      if (longest <= MAX_LINE_LENGTH) resolve(`lines ${Math.min(count, 9)} ${longest === MAX_LINE_LENGTH}`);
      else reject(new Error(`a line of ${longest} characters`));
    });
  });
}

export const peerTexts: FuzzTarget = {
  name: 'peer-texts',
  what: "the kernel's log and device events, and the output of firmware: any text is taken, lines are bounded",
  seeds: () => {
    const encode = (kind: number, text: string) => Uint8Array.from([kind, ...new TextEncoder().encode(text)]);
    return [
      encode(
        0,
        '6,339,5140900,-;remoteproc remoteproc0: crash\n SUBSYSTEM=remoteproc\n DEVICE=+remoteproc:remoteproc0\n',
      ),
      encode(1, 'add@/devices/x\0ACTION=add\0SUBSYSTEM=rpmsg\0'),
      encode(2, 'ready\r\nline 2\nrest'),
    ];
  },
  run: (input) => {
    const source = new ByteSource(input);
    const kind = source.below(3);
    if (kind === 2) return splitOutput(source);
    const text = new TextDecoder().decode(source.rest());
    if (kind === 1) {
      const event = parseUevent(text);
      invariant(event === null || event.action !== '', 'an event without an action');
      return `event ${event === null} ${event?.subsystem === ''}`;
    }
    const record = parseRecord(text);
    invariant(!record.text.includes('\n') && !record.device.includes('\n'), 'a record of several lines');
    return `record ${record.subsystem === ''} ${record.device === ''}`;
  },
};
