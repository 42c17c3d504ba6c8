import { buildFirmware } from './firmware.ts';
import { Gateway } from './gateway.ts';
import { PinsClient } from './pins-client.ts';
import type { Resources } from './resources.ts';
import { ScratchFolder } from './scratch-folder.ts';

/** The service with the host-built firmware as its co-processor, offered to guests on vhost-user sockets. */
export interface HostHub {
  readonly gateway: Gateway;
  readonly pins: PinsClient;
  /** The socket of {@link pins}: firmware that is started again has the same. */
  readonly pinsPath: string;
  /** Of the first guest's device. */
  readonly socketPath: string;
  /** Of the second guest's device, which has the same lines. */
  readonly secondSocketPath: string;
}

/**
 * Starts service and firmware; `resources` owns them.
 *
 * @param firmwareOptions e.g. `--plain`
 */
export async function startHostHub(
  resources: Resources,
  firmwareOptions: readonly string[] = [],
): Promise<HostHub> {
  const folder = resources.add(new ScratchFolder());
  const socketPath = folder.file('vm1.sock');
  const secondSocketPath = folder.file('vm2.sock');
  const pinsPath = folder.file('pins.sock');
  const gateway = resources.add(
    await Gateway.serve(folder.file('config.yaml'), {
      coprocessors: {
        hub: {
          memory: [{ type: 'memfd', sizeBytes: 0x4_0000, deviceAddress: 0x2000_0000 }],
          resourceTable: { deviceAddress: 0x2000_0000 },
          doorbell: { type: 'eventfd' },
          exec: { command: [buildFirmware('host'), `--pins=${pinsPath}`, ...firmwareOptions] },
        },
      },
      chips: { hub: { coprocessor: 'hub', vdev: 0 } },
      exports: {
        vm1: { socket: socketPath, lines: ['hub/*'], reconnectGraceMs: 0 },
        vm2: { socket: secondSocketPath, lines: ['hub/*'], reconnectGraceMs: 0 },
      },
    }),
  );
  const pins = resources.add(await PinsClient.open(pinsPath, () => gateway.process.ended));
  return { gateway, pins, pinsPath, socketPath, secondSocketPath };
}
