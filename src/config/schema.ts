/**
 * The schema of the configuration file: the one source of the types, the checks, the JSON Schema and the reference page.
 * Defaults are the schema's; its parts are in `schema-*.ts`.
 */
import { z } from 'zod';
import { chip } from './schema-chip.ts';
import {
  coprocessor,
  type doorbell,
  type exec,
  type memorySource,
  type resourceTable,
} from './schema-coprocessor.ts';
import { choice, flag, integer, named, path, section, text } from './schema-fields.ts';
import { type exportedLine, exportedLines, lineSelector } from './schema-lines.ts';
import { control, mqtt } from './schema-mqtt.ts';

const exportSection = section('A virtio device that guests connect to.', {
  socket: path('Unix socket on which the service listens for a vhost-user front-end.'),
  group: text(
    "Group (name or number) whose members may connect, besides the service's user: mode 0660 instead of 0600. The user must be in it.",
    'the name of a group',
  ).optional(),
  protocol: choice(
    "What the guest's driver speaks: the standard (`virtio-gpio`), the out-of-tree driver of 2020 and 2021 (`metux`), or the draft of June 2021 (`draft-2021`, no interrupts); see [dialects.md](dialects.md).",
    ['virtio-gpio', 'metux', 'draft-2021'],
  ).default('virtio-gpio'),
  metuxReply: choice(
    'What a `metux` driver takes for a reply: `2021` for those of June 2021 and later (0x8000), `2020` for the ones before (0xF000).',
    ['2021', '2020'],
  ).default('2021'),
  pollUs: integer(
    'How long the device keeps looking at a queue after serving it, before it waits for a kick. 0 switches that off; more is faster and costs CPU time.',
    0,
    1000,
    'us',
  ).default(50),
  reconnectGraceMs: integer(
    'How long outputs stay with a guest whose front-end has disconnected, so that it may come back to them.',
    0,
    600_000,
    'ms',
  ).default(2000),
  resume: flag(
    'Whether what the guest set (interrupt types, outputs) is kept in a file beside the socket (`SOCKET.resume`), so that a service that was killed and started again goes on with a guest whose machine monitor connects again ([vmm.md](vmm.md)). Only for `virtio-gpio`.',
  ).default(true),
  lines: exportedLines,
});

const log = section('What is logged.', {
  level: choice('The least important messages that are logged.', ['debug', 'info', 'warn', 'error']).default(
    'info',
  ),
  lines: z
    .array(lineSelector.describe('Lines: `CHIP/LINE` or `*`.'), { error: 'a list of lines such as ["*"]' })
    .describe(
      'Lines whose changes are logged. Each watched line keeps the co-processor awake for its edges; `[]` lets it sleep.',
    )
    .default(['*']),
});

/** The whole file. */
export const configSchema = section('Configuration of rproc-gpio.', {
  coprocessors: named('The co-processors, by name.', 'co-processors', coprocessor).default({}),
  chips: named('The chips, by name.', 'chips', chip),
  exports: named('The devices offered to guests, by name.', 'exports', exportSection).default({}),
  mqtt: mqtt.optional(),
  control: control.prefault({}),
  log: log.prefault({}),
});

/** A checked configuration with its defaults filled in and its paths resolved. */
export type Config = z.output<typeof configSchema>;
/** A co-processor. */
export type CoprocessorConfig = z.output<typeof coprocessor>;
/** One memory shared with a co-processor. */
export type MemorySource = z.output<typeof memorySource>;
/** Where the resource table lies. */
export type ResourceTableSource = z.output<typeof resourceTable>;
/** How news of a vring are told. */
export type DoorbellConfig = z.output<typeof doorbell>;
/** A process to start. */
export type ExecConfig = z.output<typeof exec>;
/** A chip of a co-processor, or a simulated one. */
export type ChipConfig = z.output<typeof chip>;
/** A device offered to guests. */
export type ExportConfig = z.output<typeof exportSection>;
/** Lines of an export, with their access. */
export type ExportLineConfig = z.output<typeof exportedLine>;
/** Lines on MQTT. */
export type MqttConfig = z.output<typeof mqtt>;
/** The control socket. */
export type ControlConfig = z.output<typeof control>;
/** What is logged. */
export type LogConfig = z.output<typeof log>;

/** The configuration file's JSON Schema (2020-12), as editors take it. */
export function configJsonSchema(): z.core.JSONSchema.JSONSchema {
  const schema = z.toJSONSchema(configSchema, { io: 'input', reused: 'inline' });
  return { title: 'rproc-gpio', ...schema };
}
