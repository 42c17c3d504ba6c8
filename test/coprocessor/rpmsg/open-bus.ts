import { RpmsgBus, type RpmsgBusOptions } from '../../../src/coprocessor/rpmsg/bus.ts';
import type { BusEndpoint } from '../../../src/coprocessor/rpmsg/bus-endpoint.ts';
import {
  SimulatedRpmsgVdev,
  type SimulatedRpmsgVdevOptions,
} from '../../../src/testing/simulated-rpmsg-vdev.ts';
import { Poller } from '../../../src/virtqueue/poller.ts';

/** A bus and the co-processor's side of it. */
export function openBus(
  vdevOptions: SimulatedRpmsgVdevOptions = {},
  busOptions: Partial<RpmsgBusOptions> = {},
) {
  const vdev = new SimulatedRpmsgVdev(vdevOptions);
  const poller = new Poller();
  const bus = RpmsgBus.open(vdev, { name: 'm4', poller, ...busOptions });
  return { vdev, poller, bus, peer: vdev.peer };
}

/** A bus with one open channel: the co-processor's endpoint is at 30, ours at 1024. */
export async function openChannel(
  vdevOptions: SimulatedRpmsgVdevOptions = {},
  busOptions: Partial<RpmsgBusOptions> = {},
) {
  const opened = openBus(vdevOptions, busOptions);
  opened.peer.create('echo', 30);
  const endpoint = await opened.bus.open('echo', 1000);
  return { ...opened, endpoint, heard: hear(endpoint) };
}

/** What an endpoint hears, as lists of bytes. */
export function hear(endpoint: BusEndpoint): number[][] {
  const heard: number[][] = [];
  endpoint.onMessage((payload) => heard.push([...payload]));
  return heard;
}

/** The counters that are not 0. */
export function counted({ counters }: RpmsgBus): Record<string, number> {
  return Object.fromEntries(Object.entries(counters).filter(([, value]) => value !== 0));
}
