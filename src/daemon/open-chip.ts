import type { ChipConfig } from '../config/config.ts';
import { openRpmsgChip } from '../coprocessor/dialects/rpmsg-dialects.ts';
import { KernelRpmsg } from '../coprocessor/kernel-rpmsg.ts';
import type { Log } from '../coprocessor/log.ts';
import { CoprocessorSupervisor, type Incarnation } from '../coprocessor/supervisor.ts';
import type { Chip } from '../gpio/chip.ts';
import { GpiochipChip } from '../gpiochip/gpiochip.ts';
import { GpiochipError } from '../gpiochip/gpiochip-error.ts';
import { SimulatedChip } from '../testing/simulated-chip.ts';
import { rpmsgChipOptions } from './open-coprocessor-chip.ts';

/** Names the chip in what is wrong with its device. */
function openGpiochip(name: string, path: string, onLog: Log): Chip {
  try {
    return GpiochipChip.open({ name, path, onLog });
  } catch (error) {
    if (!(error instanceof GpiochipError)) throw error;
    throw new GpiochipError(error.code, `chip ${name}: ${error.message}`, error);
  }
}

/** A chip, and what else has to be closed after it. */
export interface OpenedChip {
  readonly chip: Chip;
  readonly release?: () => Promise<void>;
}

/** Opens a chip that is of no co-processor of ours, as configured. */
export async function openLocalChip(
  name: string,
  config: Exclude<ChipConfig, { readonly type: 'coprocessor' }>,
  onLog: Log,
): Promise<OpenedChip> {
  if (config.type === 'sim') return { chip: new SimulatedChip(name, config.lines) };
  if (config.type === 'rpmsg') return openKernelRpmsgChip(name, config, onLog);
  return { chip: openGpiochip(name, config.path, onLog) };
}

/** The kernel's rpmsg from its appearance to its going, as what a supervisor brings back. */
class KernelRpmsgLife implements Incarnation {
  readonly transport: KernelRpmsg;

  constructor(transport: KernelRpmsg) {
    this.transport = transport;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  onExit(listener: (reason: string, isFailure: boolean) => void): void {
    this.transport.onLost((reason) => listener(reason, true));
  }

  /** There is no process of ours. */
  kill(): boolean {
    return false;
  }

  close(): Promise<void> {
    this.transport.close();
    return Promise.resolve();
  }
}

async function openKernelRpmsgChip(
  name: string,
  config: Extract<ChipConfig, { readonly type: 'rpmsg' }>,
  onLog: Log,
): Promise<OpenedChip> {
  const { control, device, dialect, requestTimeoutMs } = config;
  const supervisor = new CoprocessorSupervisor<KernelRpmsgLife>({
    name: `rpmsg of chip ${name}`,
    create: () => new KernelRpmsgLife(KernelRpmsg.open({ name, control, device, onLog })),
    hasProcess: false,
    restart: 'always',
    onLog,
  });
  const where = device ?? control ?? 'the kernel’s rpmsg';
  try {
    await supervisor.start();
    const chip = await supervisor.open(name, ({ transport }) =>
      openRpmsgChip(transport, {
        name,
        where,
        dialect,
        requestTimeoutMs,
        onLog,
        ...rpmsgChipOptions(config),
      }),
    );
    return { chip, release: () => supervisor.close() };
  } catch (error) {
    await supervisor.close();
    throw error;
  }
}
