import type { ChipConfig, CoprocessorConfig } from '../config/config.ts';
import { Coprocessor } from '../coprocessor/coprocessor.ts';
import { VirtioGpioChip, WANTED_FEATURES } from '../coprocessor/dialects/virtio-gpio.ts';
import type { Log } from '../coprocessor/log.ts';
import type { Chip } from '../gpio/chip.ts';
import { GpiochipChip } from '../gpiochip/gpiochip.ts';
import { GpiochipError } from '../gpiochip/gpiochip-error.ts';
import { SimulatedChip } from '../testing/simulated-chip.ts';
import type { Poller } from '../virtqueue/poller.ts';
import { VIRTIO_ID_GPIO } from '../wire/virtio-gpio.ts';

/** A co-processor as configured, not started yet. */
export function createCoprocessor(
  name: string,
  config: CoprocessorConfig,
  vdevs: readonly number[],
  onLog: Log,
): Coprocessor {
  const { memory, resourceTable, doorbell, exec, startTimeoutMs, takeOver } = config;
  return new Coprocessor({
    name,
    memory,
    resourceTable,
    doorbell,
    exec,
    startTimeoutMs,
    takeOver,
    vdevs,
    onLog,
  });
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

/** Opens a chip as configured; `coprocessor` is the one that it names. */
export async function openChip(
  name: string,
  config: ChipConfig,
  coprocessor: { readonly running: Coprocessor; readonly requestTimeoutMs: number } | undefined,
  poller: Poller,
  onLog: Log,
): Promise<Chip> {
  if (config.type === 'sim') return new SimulatedChip(name, config.lines);
  if (config.type === 'gpiochip') return openGpiochip(name, config.path, onLog);
  if (coprocessor === undefined)
    throw new Error(`chip ${name}: co-processor ${config.coprocessor} does not run`);
  const { running, requestTimeoutMs } = coprocessor;
  const vdev = running.bindVdev(config.vdev, VIRTIO_ID_GPIO, WANTED_FEATURES);
  try {
    return await VirtioGpioChip.open(vdev, { name, where: running.name, poller, requestTimeoutMs });
  } catch (error) {
    vdev.fail(error instanceof Error ? error.message : String(error));
    vdev.close();
    throw error;
  }
}
