import type { Config } from '../config/config.ts';
import { VirtioGpioDevice } from '../exporters/virtio-gpio/device.ts';
import { VhostUserServer } from '../exporters/virtio-gpio/server.ts';
import { selectLines } from '../gpio/line-selection.ts';
import type { CommandIo } from './command.ts';
import { closeOnFault, endByFault } from './fault.ts';
import { endingSignal, logTo, startUnless } from './run-service.ts';

/**
 * Serves the one chip of `config` on an inherited socket, until the front-end goes (a connected one) or a signal comes.
 * @returns the exit code
 */
export async function serveDescriptor(
  config: Config,
  fd: number,
  pollUs: number,
  io: CommandIo,
): Promise<number> {
  const ending = endingSignal();
  const onLog = logTo(io, config.log.level);
  const service = await startUnless(ending, {
    config,
    configFile: null,
    onLog,
    onLine: (text) => io.stdout.write(text),
    onFatal: endByFault,
  });
  if (service === null) return 0;
  closeOnFault(() => service.close());
  try {
    const lines = selectLines([...service.chips.values()], ['*']);
    const device = new VirtioGpioDevice({ name: `fd ${fd}`, lines, poller: service.poller, pollUs, onLog });
    let gone: () => void = () => {};
    const disconnected = new Promise<void>((resolve) => {
      gone = resolve;
    });
    const server = new VhostUserServer({ device, onLog, onDisconnected: () => gone() });
    try {
      const isListening = server.serveDescriptor(fd);
      io.stdout.write(`ready: ${lines.length} lines on descriptor ${fd}\n`);
      await Promise.race(isListening ? [ending] : [ending, disconnected]);
    } finally {
      server.close();
    }
  } finally {
    await service.close();
  }
  return 0;
}
