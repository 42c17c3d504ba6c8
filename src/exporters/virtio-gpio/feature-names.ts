import { VIRTIO_GPIO_F_IRQ } from '../../wire/virtio-gpio.ts';
import { FEATURE_EVENT_IDX, FEATURE_INDIRECT_DESC, FEATURE_VERSION_1 } from '../../wire/vring.ts';

const NAMES: readonly (readonly [bit: number, name: string])[] = [
  [VIRTIO_GPIO_F_IRQ, 'IRQ'],
  [FEATURE_INDIRECT_DESC, 'INDIRECT_DESC'],
  [FEATURE_EVENT_IDX, 'EVENT_IDX'],
  [FEATURE_VERSION_1, 'VERSION_1'],
];

/** Names of virtio feature bits that an exported device knows, as the specification has them without their prefixes. */
export function featureNames(features: bigint): string[] {
  return NAMES.filter(([bit]) => (features & (1n << BigInt(bit))) !== 0n).map(([, name]) => name);
}
