import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type {
  ExportedDevice,
  ExportedDeviceOptions,
} from '../../../src/exporters/virtio-gpio/exported-device.ts';
import { VhostUserServer } from '../../../src/exporters/virtio-gpio/server.ts';
import type { Chip } from '../../../src/gpio/chip.ts';
import { ChipLines } from '../../../src/gpio/chip-lines.ts';
import { type LineSelector, selectLines } from '../../../src/gpio/line-selection.ts';
import { type FrontEndOptions, VhostUserFrontEnd } from '../../../src/testing/front-end.ts';
import { Poller } from '../../../src/virtqueue/poller.ts';
import { scratchFolder } from './served-device.ts';

/** A device of whatever protocol, served on a socket. Closed after the test. */
export function serveOther<D extends ExportedDevice>(
  chip: Chip,
  make: (options: ExportedDeviceOptions) => D,
  given: { lines?: LineSelector[]; reconnectGraceMs?: number; socketPath?: string } = {},
) {
  const { lines: selectors = ['*'], reconnectGraceMs = 0 } = given;
  const log: string[] = [];
  const onLog = (level: string, message: string): void => {
    log.push(`${level}: ${message}`);
  };
  const lines = new ChipLines(chip);
  const poller = new Poller();
  onTestFinished(() => poller.close());
  const device = make({ name: 'vm1', lines: selectLines([lines], selectors), poller, pollUs: 0, onLog });
  const server = new VhostUserServer({ device, onLog, reconnectGraceMs });
  const socketPath = given.socketPath ?? join(scratchFolder(), 'guest.sock');
  server.listen(socketPath);
  onTestFinished(() => server.close());
  const open = (options: FrontEndOptions = {}): VhostUserFrontEnd => {
    const frontEnd = VhostUserFrontEnd.open({ socketPath, ...options });
    onTestFinished(() => frontEnd.close());
    return frontEnd;
  };
  const connect = async (options: FrontEndOptions = {}): Promise<VhostUserFrontEnd> => {
    const frontEnd = open(options);
    await frontEnd.start();
    return frontEnd;
  };
  return { device, server, socketPath, log, lines, open, connect };
}
