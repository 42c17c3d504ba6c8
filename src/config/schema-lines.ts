import { z } from 'zod';
import { LINE_SELECTOR_PATTERN } from './line-selector.ts';
import { choice, flag, integer, section, text } from './schema-fields.ts';

/** Longest debounce period: a minute, far above what a switch needs. */
const MAX_DEBOUNCE_MS = 60_000;

const selectorError = 'CHIP/LINE, as in "hub/IMU_INT", "hub/#13" (by offset), "hub/*" or "*"';

/** Text that selects lines. */
export const lineSelector = z
  .string({ error: selectorError })
  .regex(LINE_SELECTOR_PATTERN, { error: selectorError });

const debounceMs = integer(
  'How long a level must last before its edge is told; 0 tells every edge.',
  0,
  MAX_DEBOUNCE_MS,
  'ms',
);

/** What every exporter's list of lines may say of some of them. */
const selectedLineShape = {
  line: lineSelector.describe('The lines: `CHIP/LINE`; `*` and `?` are globs, `#13` is an offset.'),
  name: text('New name of the line; only for a single line.', '1 to 255 printable ASCII characters')
    .regex(/^[ -~]{1,255}$/, { error: '1 to 255 printable ASCII characters' })
    .optional(),
  access: choice(
    'Who may drive the line: never this consumer (`read`), this consumer unless another does (`write`), or this consumer and nobody else (`owner`).',
    ['read', 'write', 'owner'],
  ).default('write'),
  role: choice(
    'What this consumer may use the line as: never as an output (`input`), never as an input (`output`), or both (`any`).',
    ['input', 'output', 'any'],
  ).default('any'),
  debounceMs: debounceMs
    .describe("Debounce period of this consumer; that of the chip's `lineSettings` when absent.")
    .meta({ 'x-unit': 'ms' })
    .optional(),
};

/** A line of an exporter's list, in its long form. */
export interface SelectedLineConfig {
  readonly line: string;
  readonly name?: string | undefined;
  readonly access: 'read' | 'write' | 'owner';
  readonly role: 'input' | 'output' | 'any';
  readonly debounceMs?: number | undefined;
}

const shortForm = lineSelector
  .transform((line): SelectedLineConfig => ({ line, access: 'write', role: 'any' }))
  .describe(
    'Lines with their own names and `write` access: `CHIP/LINE`; `*` and `?` are globs, `#13` is an offset.',
  );
const EITHER =
  'Text, `CHIP/LINE`: lines with their own names and `write` access. Or a map, for another name, access, role or debounce:';

/** Lines of a device for guests. */
export const exportedLine = section('Lines with a new name, another access or role.', selectedLineShape);
export const exportedLines = z
  .array(z.union([shortForm, exportedLine]).describe(EITHER), {
    error: 'a list of lines such as ["hub/*"]',
  })
  .min(1, { error: 'a list of at least one line such as ["hub/*"]' })
  .describe('The lines, in the order of their offsets in the device.');

/** Lines on MQTT. */
export interface MqttLineConfig extends SelectedLineConfig {
  readonly deviceClass?: string | undefined;
}
export const mqttLine = section('Lines with a new name, another access or role, or a device class.', {
  ...selectedLineShape,
  deviceClass: text(
    "Home Assistant's device class: what the line means, such as `motion`, `door` or `outlet`.",
    'the name of a device class such as "motion"',
  ).optional(),
});
export const mqttLines = z
  .array(z.union([shortForm.transform((line): MqttLineConfig => line), mqttLine]).describe(EITHER), {
    error: 'a list of lines such as ["hub/*"]',
  })
  .describe('The lines. Each one that is an input keeps the co-processor awake for its edges.');

const settingsKeyError = 'the name of a line, a glob such as "LED_*", or an offset such as "#13"';

/** What holds for lines of a chip, whoever uses them. */
export const lineSettings = z
  .record(
    z.string({ error: settingsKeyError }).regex(/^[ -~]+$/, { error: settingsKeyError }),
    section('Settings of one or several lines.', {
      activeLow: flag(
        'MQTT and the commands of the host see the line inverted. Guests do not: their own device tree says so.',
      ).optional(),
      debounceMs: debounceMs.optional(),
      initial: choice(
        'What the line is made at the start of the service (and of the co-processor): an input, or an output of that level. When absent it stays as it is.',
        ['in', 'low', 'high'],
      ).optional(),
      onRelease: choice(
        'What happens to an output that its owner gives up (released, guest reset or gone): nothing (`keep`), it becomes an input, or it is driven `low` or `high` until somebody takes it.',
        ['keep', 'input', 'low', 'high'],
      ).optional(),
    }),
    { error: 'a map from lines to their settings' },
  )
  .describe(
    'What holds for lines of this chip, whoever uses them: a map from names, globs (`LED_*`) or offsets (`#13`) to settings. Later entries override earlier ones.',
  )
  .default({});
