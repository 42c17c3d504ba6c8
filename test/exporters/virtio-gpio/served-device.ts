import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished, vi } from 'vitest';
import { VirtioGpioDevice } from '../../../src/exporters/virtio-gpio/device.ts';
import type { ResumeState } from '../../../src/exporters/virtio-gpio/resume-state.ts';
import { VhostUserServer } from '../../../src/exporters/virtio-gpio/server.ts';
import type { Chip } from '../../../src/gpio/chip.ts';
import { ChipLines } from '../../../src/gpio/chip-lines.ts';
import { type LineSelector, selectLines } from '../../../src/gpio/line-selection.ts';
import { type FrontEndOptions, VhostUserFrontEnd } from '../../../src/testing/front-end.ts';
import { SimulatedChip } from '../../../src/testing/simulated-chip.ts';
import { Poller } from '../../../src/virtqueue/poller.ts';

/** Limit of every wait for a condition. */
export const DEADLINE_MS = 5000;

/** Waits until a condition holds. */
export function until(condition: () => boolean): Promise<boolean> {
  return vi.waitUntil(condition, { timeout: DEADLINE_MS, interval: 2 });
}

/** A folder of this test's own, removed after it. */
export function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'rproc-gpio-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Descriptors that this process has open. */
export function openDescriptors(): string[] {
  return readdirSync('/proc/self/fd');
}

export interface ServedOptions {
  /** Default: all lines of all chips. */
  readonly lines?: readonly LineSelector[];
  readonly name?: string;
  readonly pollUs?: number;
  readonly reconnectGraceMs?: number;
  readonly messageTimeoutMs?: number;
  /** What the guest had set in a service before. */
  readonly resumeState?: ResumeState;
  /** Default: one in a folder of its own. */
  readonly socketPath?: string;
}

/** A device of this process that listens on a socket. Closed after the test. */
export class ServedDevice {
  readonly device: VirtioGpioDevice;
  readonly server: VhostUserServer;
  readonly socketPath: string;
  /** `level: message` */
  readonly log: string[] = [];

  constructor(chips: readonly ChipLines[], poller: Poller, options: ServedOptions = {}) {
    const { name = 'vm1', pollUs = 0, reconnectGraceMs = 0 } = options;
    const onLog = (level: string, message: string): void => {
      this.log.push(`${level}: ${message}`);
    };
    const lines = selectLines(chips, options.lines ?? ['*']);
    const { resumeState } = options;
    this.device = new VirtioGpioDevice({
      name,
      lines,
      poller,
      pollUs,
      onLog,
      ...(resumeState && { openResumeState: () => resumeState }),
    });
    const { messageTimeoutMs = 5000 } = options;
    this.server = new VhostUserServer({ device: this.device, reconnectGraceMs, messageTimeoutMs, onLog });
    this.socketPath = options.socketPath ?? join(scratchFolder(), 'guest.sock');
    this.server.listen(this.socketPath);
    onTestFinished(() => this.server.close());
  }

  /** A front-end with everything started, closed after the test. */
  async connect(options: FrontEndOptions = {}): Promise<VhostUserFrontEnd> {
    const frontEnd = this.open(options);
    await frontEnd.start();
    return frontEnd;
  }

  /** A front-end that has only connected. */
  open(options: FrontEndOptions = {}): VhostUserFrontEnd {
    const frontEnd = VhostUserFrontEnd.open({ socketPath: this.socketPath, ...options });
    onTestFinished(() => frontEnd.close());
    return frontEnd;
  }

  /** Log lines of a level. */
  logged(level: 'info' | 'warn' | 'error'): string[] {
    return this.log.filter((line) => line.startsWith(`${level}:`));
  }
}

/** A simulated chip of 8 lines, served to one guest. */
export function serveSimulatedChip(
  options: ServedOptions & { readonly lineCount?: number; readonly names?: readonly string[] } = {},
): { chip: SimulatedChip; lines: ChipLines; served: ServedDevice; poller: Poller } {
  const chip = new SimulatedChip('sim', options.lineCount ?? 8, options.names);
  return { chip, ...serveChip(chip, options) };
}

/** Any chip, served to one guest. */
export function serveChip(
  chip: Chip,
  options: ServedOptions = {},
): { lines: ChipLines; served: ServedDevice; poller: Poller } {
  const lines = new ChipLines(chip);
  const poller = new Poller();
  onTestFinished(() => poller.close());
  return { lines, poller, served: new ServedDevice([lines], poller, options) };
}
