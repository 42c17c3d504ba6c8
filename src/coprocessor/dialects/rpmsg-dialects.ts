import { MAX_REPORT_LINES, PACKET_CHANNEL, REPORT_CHANNEL_PREFIX } from '../../wire/rpmsg-gpio.ts';
import { SRTM_CHANNEL } from '../../wire/srtm-gpio.ts';
import { CoprocessorError } from '../coprocessor-error.ts';
import type { Log } from '../log.ts';
import type { RpmsgEndpoint, RpmsgTransport } from '../rpmsg/endpoint.ts';
import { RpmsgChip } from './rpmsg-chip.ts';
import type { RpmsgGpioDialect } from './rpmsg-dialect.ts';
import { RpmsgGpioReports } from './rpmsg-gpio.ts';
import { RpmsgIoDialect, type RpmsgIoDirections } from './rpmsg-io.ts';
import type { RpmsgLine } from './rpmsg-lines.ts';
import { SrtmDialect } from './srtm.ts';

/** GPIO dialects on rpmsg, as in the configuration. */
export const RPMSG_DIALECTS = ['srtm', 'rpmsg-io', 'rpmsg-gpio', 'rpmsg-gpio-kind0'] as const;
export type RpmsgDialectName = (typeof RPMSG_DIALECTS)[number];

export interface RpmsgDialectOptions {
  /** Of the chip. */
  readonly name: string;
  /** For people: where the chip is, e.g. the co-processor's name. */
  readonly where: string;
  /** `auto` goes by the channel's name. */
  readonly dialect: RpmsgDialectName | 'auto';
  /** Name of the channel; default: the dialect's. Of several `rpmsg-io-<index>` the first one that is free. */
  readonly channel?: string | undefined;
  /** How long the channel is waited for. */
  readonly channelTimeoutMs: number;
  /** After this time without an answer a request is answered with RESULT_TIMEOUT. */
  readonly requestTimeoutMs: number;
  /**
   * The lines in the order of their offsets. `srtm` and `rpmsg-io` need them. The others have port 0 only, and all of the
   * controller's lines without them.
   */
  readonly lines?: readonly RpmsgLine[] | undefined;
  /** `rpmsg-gpio` without `lines`: how many the controller has; default 32, the most it can. */
  readonly lineCount?: number | undefined;
  /** `rpmsg-io`: how directions are numbered in answers; default `doc`. */
  readonly directions?: RpmsgIoDirections | undefined;
  readonly onLog?: Log | undefined;
}

const REPORT_CHANNEL = new RegExp(`^${REPORT_CHANNEL_PREFIX}\\d+$`);
const ANY_CHANNEL = new RegExp(`^(${SRTM_CHANNEL}|${PACKET_CHANNEL}|${REPORT_CHANNEL_PREFIX}\\d+)$`);

const CHANNELS: Readonly<Record<RpmsgDialectName | 'auto', string | RegExp>> = {
  auto: ANY_CHANNEL,
  srtm: SRTM_CHANNEL,
  'rpmsg-io': PACKET_CHANNEL,
  'rpmsg-gpio': REPORT_CHANNEL,
  'rpmsg-gpio-kind0': REPORT_CHANNEL,
};

/** The dialect that a channel's name stands for; null for a name that is none of a GPIO dialect's. */
export function dialectOfChannel(channel: string): RpmsgDialectName | null {
  if (channel === SRTM_CHANNEL) return 'srtm';
  if (channel === PACKET_CHANNEL) return 'rpmsg-io';
  return REPORT_CHANNEL.test(channel) ? 'rpmsg-gpio' : null;
}

/**
 * Waits for a GPIO channel and opens the chip behind it. May be called again on the same transport once the chip was closed or
 * is not available any more: each call gives a new chip.
 * @throws CoprocessorError ERR_RPMSG when there is no such channel in time (the message names those that there are), its name
 * does not tell the dialect, a line cannot be, or nobody answers there in this dialect
 */
export async function openRpmsgChip(
  transport: RpmsgTransport,
  options: RpmsgDialectOptions,
): Promise<RpmsgChip> {
  const { where, dialect, channel = CHANNELS[dialect], channelTimeoutMs } = options;
  // What is wrong with the configuration is said before anything is waited for.
  if (dialect !== 'auto') createDialect(dialect, options);
  const endpoint = await transport.open(channel, channelTimeoutMs);
  try {
    const found = dialect === 'auto' ? dialectOfChannel(endpoint.name) : dialect;
    if (found === null) {
      throw new CoprocessorError(
        'ERR_RPMSG',
        `${where}: the name of the rpmsg channel "${endpoint.name}" does not tell its dialect; say which: ${RPMSG_DIALECTS.join(', ')}. Channels: ${describe(transport, endpoint)}`,
      );
    }
    return await RpmsgChip.open(transport, endpoint, createDialect(found, options), options);
  } catch (error) {
    endpoint.close();
    throw error;
  }
}

function describe(transport: RpmsgTransport, endpoint: RpmsgEndpoint): string {
  const names = new Set([endpoint.name, ...transport.channels]);
  return [...names].map((name) => `"${name}"`).join(', ');
}

function createDialect(name: RpmsgDialectName, options: RpmsgDialectOptions): RpmsgGpioDialect {
  const { where, lines = [], directions, onLog } = options;
  switch (name) {
    case 'srtm':
      return new SrtmDialect({ where, lines, onLog });
    case 'rpmsg-io':
      return new RpmsgIoDialect({ where, lines, directions });
    default: {
      const layout = name === 'rpmsg-gpio' ? 'v14' : 'kind0';
      return new RpmsgGpioReports({ where, layout, lines: lines.length > 0 ? lines : allLines(options) });
    }
  }
}

function allLines({ lineCount = MAX_REPORT_LINES }: RpmsgDialectOptions): RpmsgLine[] {
  return Array.from({ length: lineCount }, (_, pin) => ({ port: 0, pin, name: '' }));
}
