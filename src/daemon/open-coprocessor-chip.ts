import type { ChipConfig } from '../config/config.ts';
import type { Coprocessor } from '../coprocessor/coprocessor.ts';
import { isMetuxConfig, MetuxChip, WANTED_METUX_FEATURES } from '../coprocessor/dialects/metux.ts';
import { openRpmsgChip } from '../coprocessor/dialects/rpmsg-dialects.ts';
import { VirtioGpioChip, WANTED_FEATURES } from '../coprocessor/dialects/virtio-gpio.ts';
import type { Log } from '../coprocessor/log.ts';
import { RpmsgBus, WANTED_RPMSG_FEATURES } from '../coprocessor/rpmsg/bus.ts';
import type { CoprocessorChip } from '../coprocessor/supervised-chip.ts';
import type { BoundVdev } from '../coprocessor/vdev.ts';
import type { Poller } from '../virtqueue/poller.ts';
import { VIRTIO_ID_RPMSG } from '../wire/rpmsg.ts';
import { VIRTIO_ID_GPIO } from '../wire/virtio-gpio.ts';

type CoprocessorChipConfig = Extract<ChipConfig, { readonly type: 'coprocessor' }>;
type RpmsgChipConfig = Extract<ChipConfig, { readonly type: 'rpmsg' }>;

/** How long an rpmsg channel may take to be announced, after the firmware runs. */
const CHANNEL_TIMEOUT_MS = 2000;

export interface OpenChipContext {
  readonly poller: Poller;
  readonly requestTimeoutMs: number;
  /** How long the firmware may take to come up. */
  readonly startTimeoutMs: number;
  readonly rpmsgBufferBytes: number;
  readonly onLog: Log;
}

/** Buses of rpmsg: the chips of one vdev share one, each with a channel of its own. By a life of the co-processor. */
const buses = new WeakMap<Coprocessor, Map<number, RpmsgBus>>();

/** What of an rpmsg chip's configuration its dialect wants to know. */
export function rpmsgChipOptions({ channel, lines, directions }: RpmsgChipConfig | CoprocessorChipConfig) {
  return { channel, lines, directions, channelTimeoutMs: CHANNEL_TIMEOUT_MS };
}

/** Opens a chip of a co-processor that runs, in the dialect of its firmware; also again, when it was lost. */
export async function openCoprocessorChip(
  name: string,
  config: CoprocessorChipConfig,
  running: Coprocessor,
  context: OpenChipContext,
  isReturn: boolean,
): Promise<CoprocessorChip> {
  const { vdev: index, dialect } = config;
  const { poller, requestTimeoutMs, startTimeoutMs, onLog } = context;
  const where = running.name;
  const { id, config: space } = running.describeVdev(index);
  const isOnRpmsg =
    dialect !== 'virtio-gpio' && dialect !== 'metux' && (dialect !== 'auto' || id === VIRTIO_ID_RPMSG);
  if (isOnRpmsg) {
    const bus = await busOf(running, index, context);
    const channelTimeoutMs = isReturn ? CHANNEL_TIMEOUT_MS : Math.max(CHANNEL_TIMEOUT_MS, startTimeoutMs);
    return openRpmsgChip(bus, {
      name,
      where,
      dialect,
      requestTimeoutMs,
      onLog,
      ...rpmsgChipOptions(config),
      channelTimeoutMs,
    });
  }
  // The firmware may still be busy with the queues of before.
  await running.resetVdev(index);
  const isMetux = dialect === 'metux' || (dialect === 'auto' && isMetuxConfig(space));
  const vdev = running.bindVdev(index, VIRTIO_ID_GPIO, isMetux ? WANTED_METUX_FEATURES : WANTED_FEATURES);
  // Firmware whose table is a part of its image may still boot. One that was there before is to be killed, or looked for, soon.
  const patienceMs = isReturn ? {} : { firstAnswerTimeoutMs: Math.max(requestTimeoutMs * 5, startTimeoutMs) };
  const options = { name, where, poller, requestTimeoutMs, ...patienceMs };
  return unlessFailed<CoprocessorChip>(vdev, () => {
    if (isMetux) return MetuxChip.open(vdev, options);
    return VirtioGpioChip.open(vdev, { ...options, isReturn });
  });
}

/** Gives a vdev up whose device does not come up. */
async function unlessFailed<Result>(vdev: BoundVdev, open: () => Promise<Result>): Promise<Result> {
  try {
    return await open();
  } catch (error) {
    vdev.fail(error instanceof Error ? error.message : String(error));
    vdev.close();
    throw error;
  }
}

async function busOf(running: Coprocessor, index: number, context: OpenChipContext): Promise<RpmsgBus> {
  const ofCoprocessor = buses.get(running) ?? new Map<number, RpmsgBus>();
  buses.set(running, ofCoprocessor);
  const there = ofCoprocessor.get(index);
  if (there !== undefined) return there;
  await running.resetVdev(index);
  const vdev = running.bindVdev(index, VIRTIO_ID_RPMSG, WANTED_RPMSG_FEATURES);
  const bus = RpmsgBus.open(vdev, {
    name: running.name,
    poller: context.poller,
    bufferBytes: context.rpmsgBufferBytes,
    // Less than a request may take: a message that is still waiting then is nobody's any more.
    sendTimeoutMs: Math.max(1, Math.floor(context.requestTimeoutMs / 2)),
  });
  ofCoprocessor.set(index, bus);
  running.onClosing(() => bus.close());
  bus.onLost(() => {
    if (ofCoprocessor.get(index) === bus) ofCoprocessor.delete(index);
    bus.close();
  });
  return bus;
}
