import type { FuzzTarget } from '../target.ts';
import { addressSpace } from './address-space.ts';
import { deviceQueue } from './device-queue.ts';
import { driverQueue } from './driver-queue.ts';
import { EXPORTED_DEVICE_TARGETS } from './exported-devices.ts';
import { PEER_TARGETS } from './peers.ts';
import { vhostUser } from './vhost-user.ts';
import { WIRE_TARGETS } from './wire.ts';
import { wireControlReply, wireControlRequest } from './wire-control.ts';

/** All targets in TypeScript, in the order in which they run. */
export const TARGETS: readonly FuzzTarget[] = [
  ...WIRE_TARGETS,
  wireControlRequest,
  wireControlReply,
  vhostUser,
  addressSpace,
  deviceQueue,
  driverQueue,
  ...EXPORTED_DEVICE_TARGETS,
  ...PEER_TARGETS,
];
