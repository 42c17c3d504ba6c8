import { ConfigError, MAX_CONFIG_SIZE_BYTES, parseConfig } from '../../../src/config/config.ts';
import { ByteSource } from '../byte-source.ts';
import { type FuzzTarget, invariant } from '../target.ts';

const VALID = `coprocessors:
  hub:
    memory: [{ type: memfd, sizeBytes: 256KiB, deviceAddress: 0x20000000 }]
    resourceTable: { deviceAddress: 0x20000000 }
    doorbell: { type: eventfd }
    exec: { command: [./sensor-hub, --lines=16], env: { TRACE: '1' } }
chips:
  hub: { coprocessor: hub, lineSettings: { '#3': { debounceMs: 5, activeLow: true } } }
  sim: &sim { type: sim, lines: 32 }
  copy: *sim
exports:
  vm1:
    socket: vm1.sock
    lines: ['hub/*', { line: 'sim/#13', name: imu, access: read, debounceMs: 20 }]
mqtt:
  broker: mqtts://broker.example:8883
  protocolVersion: 3.1.1
control: { socket: control.sock }
log: { level: info }
`;

const PIECES = [
  '<<: *sim',
  '&a [*a]',
  '*a',
  '&a',
  '!!binary ',
  '!x ',
  '__proto__: {x: 1}',
  'constructor: 1',
  '? [a, b]\n: c',
  '--- ',
  '...\n',
  '%YAML 1.1\n',
  '\t',
  '0x7fffffffffffffff',
  '.inf',
  '.nan',
  '-0',
  '1e400',
  '9007199254740993',
  'null',
  '~',
  '[[[[[[',
  '{a: ',
  '- - - - ',
  '|+\n',
  '>-\n',
  '"\\u0000\\ud800"',
  "'",
  '\u0085',
  '\u2028',
  '\ufeff',
  '#',
  'sim/#99',
  'hub/**',
] as const;

/** The text: the valid one with pieces put in and taken out, or any bytes. */
function textOf(source: ByteSource): string {
  if (source.below(4) === 3) return new TextDecoder().decode(source.rest());
  let text = source.below(4) === 0 ? '' : VALID;
  for (let left = 24; left > 0 && source.remaining > 0 && text.length < 30_000; left--) {
    const at = source.u16() % (text.length + 1);
    switch (source.below(8)) {
      case 0:
        text = text.slice(0, at) + text.slice(at + source.below(24));
        break;
      case 1: {
        const from = source.u16() % (text.length + 1);
        text = text.slice(0, at) + text.slice(from, from + source.below(80)) + text.slice(at);
        break;
      }
      case 2:
        text = text.slice(0, at) + source.pick(PIECES).repeat(1 + source.u8()) + text.slice(at);
        break;
      case 3:
        text = text.slice(0, at) + String.fromCharCode(source.u16()) + text.slice(at);
        break;
      case 4:
        text += `\n${bomb(source)}`;
        break;
      default:
        text = text.slice(0, at) + source.pick(PIECES) + text.slice(at);
    }
  }
  return text;
}

/** Lists of aliases of lists of aliases. */
function bomb(source: ByteSource): string {
  const depth = 2 + source.below(12);
  const width = 1 + source.below(12);
  const lines = ['b0: &b0 [x]'];
  for (let i = 1; i < depth; i++)
    lines.push(`b${i}: &b${i} [${new Array(width).fill(`*b${i - 1}`).join(', ')}]`);
  return lines.join('\n');
}

function check(error: ConfigError, text: string): string {
  const lineCount = text.split(/\r\n|\n|\r/).length;
  invariant(error.all.length >= 1 && error.all[0] === error, 'a fault that does not tell itself first');
  let last = 0;
  for (const { code, line, column, message } of error.all) {
    invariant(code === 'ERR_CONFIG', () => `the code ${code}`);
    invariant(line >= 1 && line <= lineCount + 1, () => `line ${line} of ${lineCount}: ${message}`);
    invariant(column >= 1 && column <= text.length + 1, () => `column ${column}: ${message}`);
    invariant(line >= last, 'faults that are not in the order of their places');
    last = line;
    invariant(message.startsWith(`x.yaml:${line}:${column}: `), () => `the message ${message}`);
    invariant(message.length <= 4096, () => `a message of ${message.length} characters`);
  }
  return `${error.key.replaceAll(/\d+/g, 'N').slice(0, 30)} ${error.message.replaceAll(/"[^"]*"|'[^']*'|\d+/g, 'N').slice(7, 50)}`;
}

export const config: FuzzTarget = {
  name: 'config',
  what: 'any text as a configuration file: a configuration, or faults with their places, in bounded time',
  timeoutMs: 4000,
  maxInputBytes: 16_384,
  dictionary: () => PIECES.map((piece) => new TextEncoder().encode(piece)),
  seeds: () => [
    Uint8Array.from([0, 1]),
    Uint8Array.from([3, ...new TextEncoder().encode(VALID)]),
    Uint8Array.from([0, 0, 0, 0, 4, 9, 9, 0, 0, 4, 11, 11]),
    Uint8Array.from([0, 1, 30, 1, 5, 1, 80, 1, 2, 0, 40, 200, 0, 3, 7, 7]),
    Uint8Array.from([3, ...new TextEncoder().encode('chips: {sim: {type: sim, lines: 2}}')]),
  ],
  run: (input) => {
    const text = textOf(new ByteSource(input));
    invariant(text.length <= MAX_CONFIG_SIZE_BYTES, 'a text that is never read');
    try {
      const parsed = parseConfig(text, 'x.yaml');
      invariant(
        ({} as Record<string, unknown>).x === undefined,
        'a key reached the prototype of all objects',
      );
      return `good ${Object.keys(parsed.chips).length} ${Object.keys(parsed.exports).length}`;
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      return check(error, text);
    }
  },
};
