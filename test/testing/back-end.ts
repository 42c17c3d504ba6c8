import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { VirtioGpioDevice } from '../../src/exporters/virtio-gpio/device.ts';
import { VhostUserServer } from '../../src/exporters/virtio-gpio/server.ts';
import { ChipLines } from '../../src/gpio/chip-lines.ts';
import { selectLines } from '../../src/gpio/line-selection.ts';
import { type FrontEndOptions, VhostUserFrontEnd } from '../../src/testing/front-end.ts';
import { SimulatedChip } from '../../src/testing/simulated-chip.ts';
import { Poller } from '../../src/virtqueue/poller.ts';

export interface BackEnd {
  readonly chip: SimulatedChip;
  readonly lines: ChipLines;
  readonly server: VhostUserServer;
  readonly socketPath: string;
  readonly log: readonly string[];
}

/** An exported device with the lines of a simulated chip; goes with the test. */
export function startBackEnd(lineCount = 8, names?: readonly string[]): BackEnd {
  const folder = mkdtempSync(join(tmpdir(), 'rproc-gpio-front-end-'));
  const socketPath = join(folder, 'vm.sock');
  const chip = new SimulatedChip('sim', lineCount, names);
  const log: string[] = [];
  const onLog = (level: string, message: string): void => void log.push(`${level} ${message}`);
  const lines = new ChipLines(chip);
  const device = new VirtioGpioDevice({
    name: 'vm',
    lines: selectLines([lines], ['*']),
    poller: new Poller(),
    pollUs: 0,
    onLog,
  });
  const server = new VhostUserServer({ device, onLog });
  server.listen(socketPath);
  onTestFinished(() => {
    server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return { chip, lines, server, socketPath, log };
}

/** A device in use; goes with the test. */
export async function connect(backEnd: BackEnd, options: FrontEndOptions = {}): Promise<VhostUserFrontEnd> {
  const frontEnd = await VhostUserFrontEnd.connect({ socketPath: backEnd.socketPath, ...options });
  onTestFinished(() => frontEnd.close());
  return frontEnd;
}
