/**
 * The schema of the configuration file: the one source of the types, the checks, the JSON Schema and the reference page.
 *
 * A leaf's `error` is the phrase for "what would be right" (`expected ...`); for an unknown key it is the list of the known
 * ones (see `issue-faults.ts`). `x-unit` is the unit of a number. Defaults are the schema's.
 */
import { z } from 'zod';
import { LINE_SELECTOR_PATTERN } from './line-selector.ts';

/** Name of a co-processor, chip or export. */
const NAME_PATTERN = /^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/;
const SIZE_PATTERN = /^([1-9][0-9]{0,9})(KiB|MiB|GiB)$/;
const SIZE_FACTOR = { KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const;
/** Resource tables know 32-bit device addresses only (kernel include/linux/remoteproc.h). */
const ADDRESS_SPACE_BYTES = 2 ** 32;
/** More than any physical address space or file that is mapped. */
const LARGE_SPACE_BYTES = 2 ** 48;

/** A map with known keys. */
function section<Shape extends z.core.$ZodShape>(description: string, shape: Shape) {
  const keys = Object.keys(shape);
  const error = (issue: { readonly code?: string | undefined }) =>
    issue.code === 'unrecognized_keys' ? keys.join(' ') : `a map with the keys ${keys.join(', ')}`;
  return z.strictObject(shape, { error }).describe(description);
}

/** A map from names that the file chooses. */
function named<Value extends z.core.SomeType>(description: string, noun: string, value: Value) {
  const error = 'a name of 1 to 32 letters, digits, "-" and "_" that begins with a letter or digit';
  const key = z.string({ error }).regex(NAME_PATTERN, { error });
  return z.record(key, value, { error: `a map from names to ${noun}` }).describe(description);
}

function integer(description: string, min: number, max: number, unit?: string) {
  const error = `a whole number${unit === undefined ? '' : ` of ${unit}`} from ${min} to ${max}`;
  const meta = unit === undefined ? { description } : { description, 'x-unit': unit };
  return z.int({ error }).min(min, { error }).max(max, { error }).meta(meta);
}

function address(description: string, multipleOf: number, spaceBytes: number) {
  const max = spaceBytes - multipleOf;
  const error = `an address from 0 to 0x${max.toString(16)} that is a multiple of ${multipleOf}`;
  const number = z.int({ error }).min(0, { error }).max(max, { error }).multipleOf(multipleOf, { error });
  return number.meta({ description, 'x-unit': 'address' });
}

/** Memory is touched in aligned 32-bit elements, so that what begins in it begins at a multiple of 4. */
function offset(description: string) {
  return address(description, 4, LARGE_SPACE_BYTES).meta({ 'x-unit': 'bytes' });
}

function size(description: string) {
  const error = 'a size from 1 to 4GiB in bytes, such as 65536, 0x10000, "64KiB" or "1MiB"';
  const number = z.int({ error }).min(1, { error }).max(ADDRESS_SPACE_BYTES, { error });
  const text = z.string({ error }).regex(SIZE_PATTERN, { error });
  return z
    .union([number, text], { error })
    .transform((value) => (typeof value === 'number' ? value : parseSize(value)))
    .refine((value) => value <= ADDRESS_SPACE_BYTES, { error })
    .meta({ description, 'x-unit': 'bytes' });
}

function parseSize(text: string): number {
  const [, digits, unit] = SIZE_PATTERN.exec(text)!;
  return Number(digits) * SIZE_FACTOR[unit as keyof typeof SIZE_FACTOR];
}

function text(description: string, error: string) {
  return z
    .string({ error })
    .min(1, { error })
    .refine((value) => !value.includes('\0'), { error })
    .describe(description);
}

function path(description: string) {
  return text(description, 'a path');
}

function choice<const Values extends readonly [string, ...string[]]>(description: string, values: Values) {
  return z.enum(values, { error: `one of ${values.join(', ')}` }).describe(description);
}

function flag(description: string) {
  return z.boolean({ error: 'true or false' }).describe(description);
}

/** The key that says which of several forms a map has. */
function type<const Name extends string>(name: Name, description: string) {
  return z.literal(name, { error: name }).describe(description);
}

/** The error of a union of maps that `type` tells apart. */
function typeError(types: string) {
  return (issue: { readonly code?: string | undefined }) =>
    issue.code === 'invalid_union' ? types : `a map with a type: ${types}`;
}

const deviceAddress = address(
  "Where the co-processor sees the first byte of this memory. The ranges of one co-processor's memories must not overlap.",
  4,
  ADDRESS_SPACE_BYTES,
);

const uioDevice = path('The UIO device: `/dev/uio0`, or `uio0`.');
const uioMap = integer("Which of the UIO device's memory maps.", 0, 4);

const memorySource = z
  .discriminatedUnion(
    'type',
    [
      section(
        'A new memory for the process that `exec` starts: its descriptor 3, announced by the arguments `--memory-fd=3 --device-address=0x...`.',
        {
          type: type('memfd', 'Shared memory made by the service.'),
          sizeBytes: size('Size of the memory.'),
          deviceAddress,
        },
      ),
      section('A file that can be mapped, such as the memory of an emulator.', {
        type: type('file', 'A file.'),
        path: path('The file; `/proc/PID/fd/N` for the memory of another process.'),
        offset: offset('Where the memory begins in the file.').default(0),
        sizeBytes: size('Size of the memory; up to the end of the file when absent.').optional(),
        deviceAddress,
      }),
      section('A memory map of a UIO device (reserved memory on a board).', {
        type: type('uio', 'A UIO device.'),
        device: uioDevice,
        map: uioMap.default(0),
        offset: offset('Where the memory begins in the map.').default(0),
        sizeBytes: size('Size of the memory; up to the end of the map when absent.').optional(),
        deviceAddress,
      }),
      section(
        'Physical memory through `/dev/mem`. Prefer `uio`: `/dev/mem` needs CAP_SYS_RAWIO and a permissive kernel.',
        {
          type: type('devmem', '`/dev/mem`.'),
          physicalAddress: address('Where Linux sees the memory.', 4, LARGE_SPACE_BYTES),
          sizeBytes: size('Size of the memory.'),
          deviceAddress,
        },
      ),
    ],
    { error: typeError('one of memfd, file, uio, devmem') },
  )
  .describe('One memory shared with the co-processor.');

const resourceTable = z
  .union([
    section('A table at a known address.', {
      deviceAddress: address(
        'Device address of the table; it has to lie in one of the memories.',
        4,
        ADDRESS_SPACE_BYTES,
      ),
    }),
    section('A table at the address of a section of the firmware.', {
      elf: path("The firmware's ELF file."),
      section: text(
        "The section. Linux's remoteproc looks at `.resource_table` only: a table in another section stays ours.",
        'the name of a section such as ".resource_table"',
      ).default('.resource_table'),
    }),
  ])
  .describe('Where the resource table lies in memory.');

const doorbell = z
  .discriminatedUnion(
    'type',
    [
      section(
        'A pair of eventfds for the process that `exec` starts: descriptor 4 kicks it, descriptor 5 calls the service, announced by the arguments `--kick-fd=4 --call-fd=5`.',
        { type: type('eventfd', 'Eventfds; only with `exec` and a memory of type `memfd`.') },
      ),
      section('A Unix stream socket on which a byte is the notifyid of a vring, both ways.', {
        type: type('socket', 'A socket, such as an emulated serial port.'),
        path: path('The socket to connect to; tried again until `startTimeoutMs` is over.'),
      }),
      section('The interrupt of a UIO device, and a register to kick the co-processor.', {
        type: type('uio', 'A UIO device.'),
        device: uioDevice,
        map: uioMap.default(0),
        offset: offset('Where the 32-bit register to write lies in the map.'),
        encoding: choice(
          'What is written to mean a vring: its notifyid (`id`), the notifyid in the upper half of 32 bits (`id-shifted-16`, as i.MX does), a one at the bit of that number (`bit`), or always `value` (`constant`).',
          ['id', 'id-shifted-16', 'bit', 'constant'],
        ).default('id'),
        value: integer('What `constant` writes; 1 when absent.', 0, 0xffff_ffff).optional(),
      }),
      section(
        'No interrupt: the service looks at the vrings again and again. Costs power; for firmware without a doorbell.',
        {
          type: type('poll', 'An interval.'),
          intervalMs: integer('Time between two looks.', 1, 1000, 'ms').default(10),
        },
      ),
    ],
    { error: typeError('one of eventfd, socket, uio, poll') },
  )
  .describe('How the service and the co-processor tell each other that a vring has news.');

const exec = section('A process to start as the co-processor: firmware built for the host, or an emulator.', {
  command: z
    .array(text('A word of the command.', 'text'), { error: 'a list of the program and its arguments' })
    .min(1, { error: 'a list of the program and its arguments' })
    .describe(
      'Program and arguments. A program with a slash is looked up from the folder of this file, one without in PATH.',
    ),
  env: z
    .record(
      z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, { error: 'the name of an environment variable' }),
      z.string({ error: 'text; put numbers in quotes' }),
      { error: 'a map from variables to text' },
    )
    .describe('Environment variables, besides those of the service.')
    .default({}),
  cwd: path('Working folder of the process; that of the service when absent.').optional(),
});

const coprocessor = section('A co-processor that shares memory with Linux.', {
  memory: z
    .array(memorySource, { error: 'a list of memories' })
    .min(1, { error: 'a list of at least one memory' })
    .describe(
      'The memories shared with the co-processor: those in which the resource table, the vrings and the buffers lie.',
    ),
  resourceTable,
  doorbell,
  exec: exec.optional(),
  startTimeoutMs: integer(
    'How long the firmware may take until its resource table is there and its doorbell connected.',
    1,
    600_000,
    'ms',
  ).default(5000),
  requestTimeoutMs: integer(
    'How long the co-processor may take for one request; then the guest is told that it failed.',
    10,
    450,
    'ms',
  ).default(200),
  takeOver: flag(
    'Bind a vdev that another driver left bound (its status says so). Only when you know that the other driver is gone.',
  ).default(false),
});

const chip = z
  .discriminatedUnion(
    'type',
    [
      section('The lines that a vdev of a co-processor offers.', {
        type: type('coprocessor', 'A chip of a co-processor; may be left out.')
          .optional()
          .transform((value) => value ?? ('coprocessor' as const)),
        coprocessor: text('Name of the co-processor.', 'the name of a co-processor'),
        vdev: integer('Which vdev of its resource table, counted from 0.', 0, 255).default(0),
        reads: choice(
          'Where GET_VALUE of a watched input is answered from: the level that the co-processor streams (`shadow`), or a request to it (`through`). When absent: `shadow` where the co-processor streams levels, else `through`.',
          ['shadow', 'through'],
        ).optional(),
      }),
      section('A simulated chip: lines `sim0`, `sim1`, ...; line 2k is wired to line 2k+1.', {
        type: type('sim', 'A simulated chip.'),
        lines: integer('Number of lines.', 1, 65535, 'lines'),
      }),
    ],
    { error: typeError('"sim", or none for a chip of a co-processor') },
  )
  .describe('A chip: a set of lines.');

const selectorError = 'CHIP/LINE, as in "hub/IMU_INT", "hub/#13" (by offset), "hub/*" or "*"';
const lineSelector = z
  .string({ error: selectorError })
  .regex(LINE_SELECTOR_PATTERN, { error: selectorError });

const exportedLine = section('Lines with a new name or another access.', {
  line: lineSelector.describe('The lines: `CHIP/LINE`; `*` and `?` are globs, `#13` is an offset.'),
  name: text('New name of the line; only for a single line.', '1 to 255 printable ASCII characters')
    .regex(/^[ -~]{1,255}$/, { error: '1 to 255 printable ASCII characters' })
    .optional(),
  access: choice(
    'Who may drive the line: never this export (`read`), this export unless another does (`write`), or this export and nobody else (`owner`).',
    ['read', 'write', 'owner'],
  ).default('write'),
});

const exportSection = section('A virtio device that guests connect to.', {
  socket: path('Unix socket on which the service listens for a vhost-user front-end.'),
  protocol: choice('What is spoken on it.', ['virtio-gpio']).default('virtio-gpio'),
  pollUs: integer(
    'How long the device keeps looking at a queue after serving it, before it waits for a kick. 0 switches that off; more is faster and costs CPU time.',
    0,
    1000,
    'us',
  ).default(50),
  lines: z
    .array(
      z
        .union([
          lineSelector
            .transform(
              (line): { line: string; name?: string | undefined; access: 'read' | 'write' | 'owner' } => ({
                line,
                access: 'write',
              }),
            )
            .describe(
              'Lines with their own names and `write` access: `CHIP/LINE`; `*` and `?` are globs, `#13` is an offset.',
            ),
          exportedLine,
        ])
        .describe(
          'Text, `CHIP/LINE`: lines with their own names and `write` access. Or a map, for another name or access:',
        ),
      { error: 'a list of lines such as ["hub/*"]' },
    )
    .min(1, { error: 'a list of at least one line such as ["hub/*"]' })
    .describe('The lines, in the order of their offsets in the device.'),
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
/** What is logged. */
export type LogConfig = z.output<typeof log>;

/** The configuration file's JSON Schema (2020-12), as editors take it. */
export function configJsonSchema(): z.core.JSONSchema.JSONSchema {
  const schema = z.toJSONSchema(configSchema, { io: 'input', reused: 'inline' });
  return { title: 'rproc-gpio', ...schema };
}
