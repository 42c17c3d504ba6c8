import { closeSync } from 'node:fs';
import { createSocketPair } from '../native.ts';
import { F_PROTOCOL_FEATURES, PROTOCOL_FEATURE, REQUEST } from '../wire/vhost-user.ts';
import type { FrontEndControl } from './front-end-control.ts';
import { FrontEndError } from './front-end-error.ts';
import type { FrontEndMemory } from './front-end-memory.ts';
import {
  type FrontEndOptions,
  KNOWN_FEATURES,
  KNOWN_PROTOCOL_FEATURES,
  QUEUE_COUNT,
} from './front-end-options.ts';
import { FrontEndSocket, type MessageListener } from './front-end-socket.ts';
import type { FrontEndVring } from './front-end-vring.ts';

/** What takes a connection to a device in use, message by message, in QEMU's order. */

/** Learns the features, negotiates the protocol features. SET_FEATURES is left to the caller. */
export async function negotiateFeatures(
  control: FrontEndControl,
  options: FrontEndOptions,
): Promise<{ offered: bigint; accepted: bigint }> {
  const offered = await control.getU64(REQUEST.GET_FEATURES);
  const accepted = offered & (options.features ?? KNOWN_FEATURES);
  if ((accepted & F_PROTOCOL_FEATURES) !== 0n) {
    const offeredProtocol = await control.getU64(REQUEST.GET_PROTOCOL_FEATURES);
    await control.setProtocolFeatures(
      offeredProtocol & (options.protocolFeatures ?? KNOWN_PROTOCOL_FEATURES),
    );
  }
  if (control.has(PROTOCOL_FEATURE.MQ)) {
    const count = await control.getU64(REQUEST.GET_QUEUE_NUM);
    const wanted = options.queueCount ?? QUEUE_COUNT;
    if (count < BigInt(wanted)) {
      throw new FrontEndError(
        'ERR_FRONT_END_REFUSED',
        `the back-end has ${count} queues, ${wanted} are needed`,
      );
    }
  }
  return { offered, accepted };
}

/** SET_BACKEND_REQ_FD. @returns our end, which the caller closes */
export async function openBackendSocket(
  control: FrontEndControl,
  onMessage: MessageListener,
): Promise<FrontEndSocket> {
  const [own, theirs] = createSocketPair();
  const socket = new FrontEndSocket(own, onMessage);
  try {
    await control.tell(REQUEST.SET_BACKEND_REQ_FD, new Uint8Array(0), [theirs]);
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  } finally {
    closeSync(theirs);
  }
}

/** SET_MEM_TABLE, or with CONFIGURE_MEM_SLOTS one ADD_MEM_REG a region. */
export async function shareMemory(control: FrontEndControl, memory: FrontEndMemory): Promise<void> {
  const { table, descriptors } = memory;
  if (!control.has(PROTOCOL_FEATURE.CONFIGURE_MEM_SLOTS)) return control.setMemoryTable(table, descriptors);
  for (const [index, region] of table.entries()) await control.addMemoryRegion(region, descriptors[index]!);
}

/** Sets a vring up and starts it; kick before enable. */
export async function startVring(
  control: FrontEndControl,
  vring: FrontEndVring,
  base: number,
  hasEnable: boolean,
): Promise<void> {
  const { index } = vring;
  await control.setVringState(REQUEST.SET_VRING_NUM, index, vring.size);
  await control.setVringState(REQUEST.SET_VRING_BASE, index, base);
  await control.setVringAddress(vring.addresses);
  await control.setVringDescriptor(REQUEST.SET_VRING_ERR, index, vring.error.fd);
  await control.setVringDescriptor(REQUEST.SET_VRING_KICK, index, vring.kickFd);
  await control.setVringDescriptor(REQUEST.SET_VRING_CALL, index, vring.call.fd);
  if (hasEnable) await control.setVringState(REQUEST.SET_VRING_ENABLE, index, 1);
}
