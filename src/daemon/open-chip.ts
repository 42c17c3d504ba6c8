import type { ChipConfig, CoprocessorConfig } from '../config/config.ts';
import { Coprocessor } from '../coprocessor/coprocessor.ts';
import { VirtioGpioChip, WANTED_FEATURES } from '../coprocessor/dialects/virtio-gpio.ts';
import type { Log } from '../coprocessor/log.ts';
import type { CoprocessorChip } from '../coprocessor/supervised-chip.ts';
import { CoprocessorSupervisor } from '../coprocessor/supervisor.ts';
import type { Chip } from '../gpio/chip.ts';
import { GpiochipChip } from '../gpiochip/gpiochip.ts';
import { GpiochipError } from '../gpiochip/gpiochip-error.ts';
import { SimulatedChip } from '../testing/simulated-chip.ts';
import type { Poller } from '../virtqueue/poller.ts';
import { VIRTIO_ID_GPIO } from '../wire/virtio-gpio.ts';

/** A co-processor as configured, and what starts it again; not started yet. */
export function superviseCoprocessor(
  name: string,
  config: CoprocessorConfig,
  vdevs: readonly number[],
  onLog: Log,
): CoprocessorSupervisor<Coprocessor> {
  const { memory, resourceTable, doorbell, exec, startTimeoutMs, takeOver, restart } = config;
  const create = (): Coprocessor =>
    new Coprocessor({
      name,
      memory,
      resourceTable,
      doorbell,
      exec,
      startTimeoutMs,
      takeOver,
      vdevs,
      onLog,
      isSupervised: true,
    });
  return new CoprocessorSupervisor({ name, create, hasProcess: exec !== undefined, restart, onLog });
}

/** Names the chip in what is wrong with its device. */
function openGpiochip(name: string, path: string, onLog: Log): Chip {
  try {
    return GpiochipChip.open({ name, path, onLog });
  } catch (error) {
    if (!(error instanceof GpiochipError)) throw error;
    throw new GpiochipError(error.code, `chip ${name}: ${error.message}`, error);
  }
}

/** Opens a chip that is of no co-processor, as configured. */
export async function openLocalChip(
  name: string,
  config: Exclude<ChipConfig, { readonly type: 'coprocessor' }>,
  onLog: Log,
): Promise<Chip> {
  if (config.type === 'sim') return new SimulatedChip(name, config.lines);
  return openGpiochip(name, config.path, onLog);
}

/** Opens a chip of a co-processor that runs, as configured; also again, when it was lost. */
export async function openCoprocessorChip(
  name: string,
  { vdev: index }: Extract<ChipConfig, { readonly type: 'coprocessor' }>,
  running: Coprocessor,
  requestTimeoutMs: number,
  poller: Poller,
  isReturn: boolean,
): Promise<CoprocessorChip> {
  // The firmware may still be busy with the queues of before.
  await running.resetVdev(index);
  const vdev = running.bindVdev(index, VIRTIO_ID_GPIO, WANTED_FEATURES);
  try {
    return await VirtioGpioChip.open(vdev, { name, where: running.name, poller, requestTimeoutMs, isReturn });
  } catch (error) {
    vdev.fail(error instanceof Error ? error.message : String(error));
    vdev.close();
    throw error;
  }
}
