/**
 * Writes docs/config.md and docs/rproc-gpio.schema.json from the configuration's schema: `npm run docs`.
 * A test compares the files with what this makes, and parses every example.
 */
import { writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { configJsonSchema } from '../src/config/config.ts';

/** What the schema uses of JSON Schema. */
export interface SchemaNode {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly multipleOf?: number;
  readonly pattern?: string;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly required?: readonly string[];
  readonly items?: SchemaNode;
  readonly additionalProperties?: SchemaNode | boolean;
  readonly anyOf?: readonly SchemaNode[];
  readonly oneOf?: readonly SchemaNode[];
  readonly 'x-unit'?: string;
}

const INTRODUCTION = `<!-- Made by "npm run docs" from src/config/schema.ts: change that file, not this one. -->
# The configuration file

\`rproc-gpio serve -c rproc-gpio.yaml\` reads a YAML 1.2 file of at most 1 MiB. \`rproc-gpio config check -c FILE\` checks one
and starts nothing; \`rproc-gpio config schema\` prints its JSON Schema ([rproc-gpio.schema.json](rproc-gpio.schema.json)) for
editors.

- Numbers are decimal or hex (\`0x20000000\`). Sizes may also be text with a unit: \`64KiB\`, \`1MiB\`, \`1GiB\`.
- Relative paths are resolved against the folder of the file.
- Names of co-processors, chips and exports have 1 to 32 letters, digits, \`-\` and \`_\`, and begin with a letter or digit.
- Lines are selected by \`CHIP/LINE\`. \`*\` (any text) and \`?\` (any character) are globs in both parts, \`hub/#13\` is the line at
  offset 13 (lines without a name have no other), and \`*\` alone is every line of every chip.
- A faulty file is refused as a whole, with its first fault: \`FILE:LINE:COLUMN: KEY: what is wrong; what would be right\`.
`;

const EXAMPLES = `## Examples

A simulated chip, to try a guest without any co-processor:

\`\`\`yaml
chips:
  sim: { type: sim, lines: 32 }
exports:
  vm1:
    socket: vm1.sock
    lines: ["sim/*"]
\`\`\`

Firmware built for the host, started by the service, for two guests. The second may only read one line:

\`\`\`yaml
coprocessors:
  hub:
    memory:
      - { type: memfd, sizeBytes: 256KiB, deviceAddress: 0x20000000 }
    resourceTable: { deviceAddress: 0x20000000 }
    doorbell: { type: eventfd }
    exec:
      command: [./sensor-hub, --pins=pins.sock]
chips:
  hub: { coprocessor: hub }
exports:
  vm1:
    socket: /run/rproc-gpio/vm1.sock
    lines:
      - { line: hub/LED_STATUS, name: led, access: owner }
      - "hub/*_INT"
      - "hub/#13"
  vm2:
    socket: /run/rproc-gpio/vm2.sock
    pollUs: 0
    lines:
      - { line: hub/IMU_INT, name: imu, access: read }
log:
  level: info
  lines: ["hub/LED_*"]
\`\`\`

Firmware in an emulator whose memory is a file, with a serial port as the doorbell:

\`\`\`yaml
coprocessors:
  mcu:
    memory:
      - { type: file, path: /dev/shm/mcu-sram, sizeBytes: 64KiB, deviceAddress: 0x20000000 }
    resourceTable: { elf: hub.elf }
    doorbell: { type: socket, path: doorbell.sock }
    startTimeoutMs: 20000
chips:
  mcu: { coprocessor: mcu }
exports:
  vm1: { socket: vm1.sock, lines: ["mcu/*"] }
\`\`\`

A board (i.MX style): the reserved memory is map 0 of a UIO device, whose interrupt is that of the messaging unit, and map 1
holds the messaging unit"s registers:

\`\`\`yaml
coprocessors:
  m4:
    memory:
      - { type: uio, device: /dev/uio0, map: 0, deviceAddress: 0x55000000 }
    resourceTable: { deviceAddress: 0x55000000 }
    doorbell: { type: uio, device: /dev/uio0, map: 1, offset: 0x4, encoding: id-shifted-16 }
    requestTimeoutMs: 100
chips:
  m4: { coprocessor: m4, vdev: 0, reads: through }
exports:
  vm1: { socket: /run/rproc-gpio/vm1.sock, lines: ["m4/*"] }
log: { lines: [] }
\`\`\`
`;

/** The reference page. */
export function renderConfigReference(schema: SchemaNode): string {
  const sections = Object.entries(schema.properties ?? {}).map(([key, node]) => {
    const presence = (schema.required ?? []).includes(key) ? 'Required.' : 'Optional.';
    return [`## \`${key}\`\n\n${node.description} ${presence}\n`, ...renderNode(key, node)].join('\n');
  });
  return [INTRODUCTION, EXAMPLES, ...sections].join('\n');
}

/** The sections of what lies at a path: a table for each map, in the order of the schema. */
function renderNode(path: string, node: SchemaNode): string[] {
  if (typeof node.additionalProperties === 'object' && isStructured(node.additionalProperties)) {
    const inner = `${path}.NAME`;
    return [
      `### \`${inner}\`\n\n${node.additionalProperties.description}\n`,
      ...renderNode(inner, node.additionalProperties),
    ];
  }
  const forms = formsOf(node).filter(isStructured);
  if (forms.length > 1) {
    return forms.flatMap((form) => {
      const title = typeOf(form) ?? Object.keys(form.properties ?? {}).join(', ');
      return [`#### ${title}\n\n${form.description}\n`, ...renderMap(path, form)];
    });
  }
  return forms.flatMap((form) => renderMap(path, form));
}

function renderMap(path: string, { properties = {}, required = [] }: SchemaNode): string[] {
  const rows = Object.entries(properties).map(([key, node]) => {
    const absent = required.includes(key) ? 'required' : 'none';
    const fallback = node.default === undefined ? absent : code(node.default);
    return [`\`${key}\``, typeText(node), fallback, node.description ?? ''];
  });
  const table = renderTable(['key', 'value', 'default', 'meaning'], rows);
  const nested = Object.entries(properties).flatMap(([key, node]) => {
    const isList = node.items !== undefined;
    const inner = isList ? `${path}.${key}[]` : `${path}.${key}`;
    const target = node.items ?? node;
    if (!formsOf(target).some(isStructured)) return [];
    return [`### \`${inner}\`\n\n${target.description ?? node.description}\n`, ...renderNode(inner, target)];
  });
  return [table, ...nested];
}

/** A table with columns of one width each, as Biome formats it. */
function renderTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]!.length)),
  );
  const line = (cells: readonly string[], fill: string) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column]!, fill)).join(' | ')} |\n`;
  const rule = head.map(() => '-');
  return [line(head, ' '), line(rule, '-'), ...rows.map((row) => line(row, ' '))].join('');
}

function formsOf(node: SchemaNode): readonly SchemaNode[] {
  return node.oneOf ?? node.anyOf ?? [node];
}

/** Whether a node has keys of its own to describe. */
function isStructured(node: SchemaNode): boolean {
  return node.properties !== undefined || formsOf(node).some((form) => form !== node && isStructured(form));
}

/** `type: memfd`, for the forms of a map that a type tells apart. */
function typeOf(form: SchemaNode): string | undefined {
  const type = form.properties?.type?.const;
  return type === undefined ? undefined : `\`type: ${type}\``;
}

function typeText(node: SchemaNode): string {
  const unit = node['x-unit'];
  if (node.const !== undefined) return code(node.const);
  if (node.enum !== undefined)
    return `${node.enum.map(code).join(', ')}${unit === undefined ? '' : ` ${unit}`}`;
  if (unit === 'address') return multiple('address', node);
  if (unit === 'bytes' && node.anyOf !== undefined) return 'size in bytes';
  if (node.type === 'integer') {
    const { minimum = 0, maximum = 0 } = node;
    if (unit === 'bytes') return multiple('bytes', node);
    const max = maximum > 1_000_000 ? `0x${maximum.toString(16)}` : maximum;
    return `${minimum} to ${max}${unit === undefined ? '' : ` ${unit}`}`;
  }
  if (node.items !== undefined) return `list of ${isStructured(node.items) ? 'what follows' : 'text'}`;
  if (isStructured(node)) return 'map';
  if (node.type === 'boolean') return '`true`, `false`';
  if (node.type === 'object') return 'map to text';
  return 'text';
}

function multiple(noun: string, { multipleOf }: SchemaNode): string {
  return multipleOf === undefined ? noun : `${noun}, a multiple of ${multipleOf}`;
}

function code(value: unknown): string {
  return `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
}

/** JSON as Biome formats it: lists of plain values stay on one line. */
function printJson(value: unknown): string {
  const listOfPlainValues = /\[\n[^[\]{}]*\n\s*\]/g;
  return JSON.stringify(value, null, 2).replace(listOfPlainValues, (list) => {
    return JSON.stringify(JSON.parse(list)).replaceAll('","', '", "');
  });
}

/** The files of this generator, by their path in the repository. */
export function generatedFiles(): ReadonlyMap<string, string> {
  const schema = configJsonSchema();
  return new Map([
    ['docs/config.md', renderConfigReference(schema as SchemaNode)],
    ['docs/rproc-gpio.schema.json', `${printJson(schema)}\n`],
  ]);
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const root = fileURLToPath(new URL('..', import.meta.url));
  for (const [path, text] of generatedFiles()) writeFileSync(resolve(root, path), text);
}
