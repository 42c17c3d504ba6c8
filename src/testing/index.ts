/**
 * rproc-gpio for tests: a chip in this process, and a vhost-user front-end that plays the guest.
 * @packageDocumentation
 */

export * from './front-end.ts';
export * from './rpmsg-peer.ts';
export { SimulatedChip } from './simulated-chip.ts';
export * from './simulated-rpmsg-vdev.ts';
