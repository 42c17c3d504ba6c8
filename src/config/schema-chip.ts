import { z } from 'zod';
import { choice, integer, path, section, text, type, typeError } from './schema-fields.ts';
import { lineSettings } from './schema-lines.ts';

/** GPIO protocols over rpmsg ([dialects.md](dialects.md)). */
const RPMSG_DIALECTS = ['srtm', 'rpmsg-io', 'rpmsg-gpio', 'rpmsg-gpio-kind0'] as const;

const channel = text(
  'Name of the rpmsg channel, for the dialects over rpmsg; `rpmsg-io-channel` for `srtm`, `rpmsg-io` and `rpmsg-io-0` for the others when absent.',
  'the name of a channel such as "rpmsg-io-channel"',
);

/** Keys of a chip whose lines are reached over rpmsg. */
const rpmsgShape = {
  channel: channel.optional(),
  lines: z
    .array(
      section('One line.', {
        port: integer("The firmware's port.", 0, 255),
        pin: integer('Its number in the port.', 0, 255),
        name: z
          .string({ error: 'a name of at most 255 printable ASCII characters' })
          .regex(/^[ -~]{0,255}$/, { error: 'a name of at most 255 printable ASCII characters' })
          .describe('Name of the line.')
          .default(''),
      }),
      { error: 'a list such as [{ port: 0, pin: 5, name: BUTTON }]' },
    )
    .min(1, { error: 'a list of at least one line' })
    .describe(
      'The lines of `srtm` and `rpmsg-io`, in the order of their offsets: these dialects know ports, and no names. For `rpmsg-gpio` the names by offset (port 0).',
    )
    .optional(),
  directions: choice(
    'How `rpmsg-io` firmware tells directions: as its documentation says (0 out, 1 in), or as the driver of the 12th version reads them (1 out, 2 in).',
    ['doc', 'v12'],
  ).default('doc'),
};

/** A chip. */
export const chip = z
  .discriminatedUnion(
    'type',
    [
      section('The lines that a vdev of a co-processor offers.', {
        type: type('coprocessor', 'A chip of a co-processor; may be left out.')
          .optional()
          .transform((value) => value ?? ('coprocessor' as const)),
        coprocessor: text('Name of the co-processor.', 'the name of a co-processor'),
        vdev: integer('Which vdev of its resource table, counted from 0.', 0, 255).default(0),
        dialect: choice(
          'GPIO protocol of the firmware. `auto` tells it by the vdev: virtio-gpio or metux by the configuration space of id 41; of id 7 (rpmsg) by the name of the channel.',
          ['auto', 'virtio-gpio', 'metux', ...RPMSG_DIALECTS],
        ).default('auto'),
        reads: choice(
          'Where GET_VALUE of a watched input is answered from: the level that the co-processor streams (`shadow`), or a request to it (`through`). When absent: `shadow` where the co-processor streams levels, else `through`.',
          ['shadow', 'through'],
        ).optional(),
        ...rpmsgShape,
        lineSettings,
      }),
      section("A chip behind the kernel's rpmsg, where the kernel owns the vrings.", {
        type: type('rpmsg', 'A channel of `/dev/rpmsg*`.'),
        control: path(
          'The control device, such as `/dev/rpmsg_ctrl0`: an endpoint for the channel is made.',
        ).optional(),
        device: path('A device that is there for the channel, such as `/dev/rpmsg0`.').optional(),
        dialect: choice('GPIO protocol of the firmware; `auto` tells it by the name of the channel.', [
          'auto',
          ...RPMSG_DIALECTS,
        ]).default('auto'),
        requestTimeoutMs: integer(
          'How long the co-processor may take for one request.',
          10,
          450,
          'ms',
        ).default(200),
        ...rpmsgShape,
        lineSettings,
      }),
      section("A chip of this machine's kernel ([gpiochip.md](gpiochip.md)).", {
        type: type('gpiochip', 'A local chip.'),
        path: path('Its character device, such as `/dev/gpiochip0`.'),
        lineSettings,
      }),
      section('A simulated chip: lines `sim0`, `sim1`, ...; line 2k is wired to line 2k+1.', {
        type: type('sim', 'A simulated chip.'),
        lines: integer('Number of lines.', 1, 65535, 'lines'),
        lineSettings,
      }),
    ],
    { error: typeError('"gpiochip", "rpmsg", "sim", or none for a chip of a co-processor') },
  )
  .describe('A chip: a set of lines.');
