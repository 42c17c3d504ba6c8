import { F_PROTOCOL_FEATURES, PROTOCOL_FEATURE } from '../wire/vhost-user.ts';
import { VIRTIO_GPIO_F_IRQ } from '../wire/virtio-gpio.ts';
import { FEATURE_EVENT_IDX, FEATURE_INDIRECT_DESC, FEATURE_VERSION_1 } from '../wire/vring.ts';
import type { CallKind } from './front-end-call.ts';
import type { FrontEndRegion } from './front-end-memory.ts';

const bit = (number: number): bigint => 1n << BigInt(number);

/** What a guest's driver accepts of the features offered, by default: all that are known here. */
export const KNOWN_FEATURES =
  bit(VIRTIO_GPIO_F_IRQ) |
  bit(FEATURE_INDIRECT_DESC) |
  bit(FEATURE_EVENT_IDX) |
  bit(FEATURE_VERSION_1) |
  F_PROTOCOL_FEATURES;

/**
 * What is accepted of the protocol features offered, by default. CONFIGURE_MEM_SLOTS changes how memory is shared, INFLIGHT_SHMFD
 * lets requests come back in any order.
 */
export const KNOWN_PROTOCOL_FEATURES =
  PROTOCOL_FEATURE.MQ |
  PROTOCOL_FEATURE.REPLY_ACK |
  PROTOCOL_FEATURE.BACKEND_REQ |
  PROTOCOL_FEATURE.CONFIG |
  PROTOCOL_FEATURE.RESET_DEVICE |
  PROTOCOL_FEATURE.STATUS;

/** Queues of a virtio-gpio device: requests and events. */
export const QUEUE_COUNT = 2;

export interface FrontEndOptions {
  /** Where the back-end listens. Either this or `fd`. */
  readonly socketPath?: string;
  /** A connected socket, which becomes the front-end's own. */
  readonly fd?: number;
  /** virtio and vhost-user features to accept of those offered; default {@link KNOWN_FEATURES}. */
  readonly features?: bigint;
  /** Protocol features to accept of those offered; default {@link KNOWN_PROTOCOL_FEATURES}. */
  readonly protocolFeatures?: bigint;
  /** The guest's memory; default: 1 MiB above 4 GiB. */
  readonly regions?: readonly FrontEndRegion[];
  /** In which region each vring lies; default the first one. */
  readonly vringRegions?: readonly number[];
  /** Queues that the device has; default {@link QUEUE_COUNT}. */
  readonly queueCount?: 1 | 2;
  /** Descriptors of each vring; default 64. */
  readonly queueSizes?: readonly number[];
  /** Default eventfd. */
  readonly callKind?: CallKind;
  /** How long any answer may take; default 5000. */
  readonly timeoutMs?: number;
}
