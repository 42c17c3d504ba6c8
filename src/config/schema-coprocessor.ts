import { z } from 'zod';
import {
  ADDRESS_SPACE_BYTES,
  address,
  choice,
  flag,
  integer,
  LARGE_SPACE_BYTES,
  offset,
  path,
  section,
  size,
  text,
  type,
  typeError,
} from './schema-fields.ts';

const deviceAddress = address(
  "Where the co-processor sees the first byte of this memory. The ranges of one co-processor's memories must not overlap.",
  4,
  ADDRESS_SPACE_BYTES,
);

const uioDevice = path('The UIO device: `/dev/uio0`, or `uio0`.');
const uioMap = integer("Which of the UIO device's memory maps.", 0, 4);

export const memorySource = z
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

export const resourceTable = z
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

export const doorbell = z
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

export const exec = section(
  'A process to start as the co-processor: firmware built for the host, or an emulator.',
  {
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
  },
);

const remoteproc = section(
  "The kernel's remoteproc that runs the firmware ([remoteproc.md](remoteproc.md)).",
  {
    name: text(
      '`remoteproc0`, or its `name` attribute, which stays the same when drivers are probed in another order.',
      'the name of a remoteproc such as "remoteproc0" or "imx-rproc"',
    ),
    firmware: text(
      'Firmware file, chosen before each start; as it is when absent.',
      'the name of a firmware file',
    ).optional(),
    start: flag(
      'Start it, or attach to it, when the service comes up; else wait until somebody else has.',
    ).default(false),
    stopOnExit: flag(
      'Stop it when the service ends; one that the service attached to is detached instead.',
    ).default(false),
    recovery: flag('Whether the kernel starts it again after a crash; as it is when absent.').optional(),
    startTimeoutMs: integer(
      'How long one that somebody else starts is waited for.',
      1,
      600_000,
      'ms',
    ).default(10_000),
  },
);

/** A co-processor. */
export const coprocessor = section('A co-processor that shares memory with Linux.', {
  memory: z
    .array(memorySource, { error: 'a list of memories' })
    .min(1, { error: 'a list of at least one memory' })
    .describe(
      'The memories shared with the co-processor: those in which the resource table, the vrings and the buffers lie.',
    ),
  resourceTable,
  doorbell,
  exec: exec.optional(),
  remoteproc: remoteproc.optional(),
  startTimeoutMs: integer(
    'How long the firmware may take until its resource table is there and its doorbell connected; and then until it answers for the first time.',
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
  restart: choice(
    'When the process that `exec` starts is started again: `on-failure` unless it exited with code 0, `always`, or `never`. The pause before grows from 100 ms to 10 s, and is 100 ms again after a run of a second. Without `exec` it says nothing: what went away is looked for until it is back.',
    ['always', 'on-failure', 'never'],
  ).default('on-failure'),
  rpmsgBufferBytes: integer(
    'Size of an rpmsg buffer, header included, for a vdev of id 7. The firmware must have been built for the same: nothing tells it.',
    32,
    65_536,
    'bytes',
  ).default(512),
  takeOver: flag(
    'Bind a vdev that another driver left bound (its status says so). Only when you know that the other driver is gone.',
  ).default(false),
});
