/** The service as it is used: the host firmware as its co-processor, MQTT, and guests. */
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { processTree } from './process-status.ts';
import { ROOT } from './programs.ts';
import { SERVICE_COMMAND, type Service, startProcess, untilReadyLine } from './service.ts';

const FIRMWARE = resolve(ROOT, 'build/Release/sensor-hub');
const BASE_TOPIC = 'rproc-gpio';

/** Inputs of the firmware that are toggled; MQTT has their events. */
export const EVENT_LINES = ['IMU_INT', 'BARO_DRDY', 'ALS_INT', 'PROX_INT', 'MAG_DRDY', 'LID_OPEN', 'TAMPER'];
/** Outputs that MQTT drives. */
export const COMMAND_LINES = ['LED_STATUS', 'LED_ERROR'];
/** Outputs of the firmware that the guest of the device `hub` drives. */
export const GUEST_LINES = ['SENSOR_RST', 'SENSOR_PWR_EN', 'BUZZER', 'LOOP_OUT'];
/** Lines of the simulated chip, all of them in the device `sim`. */
export const SIM_LINES = 32;

export interface HubService extends Service {
  /** With which level changes are published. */
  readonly eventQos: 0 | 1;
  readonly firmwarePid: number;
  readonly pinsPath: string;
  /** Where a front-end gets the simulated lines. */
  readonly simSocketPath: string;
  /** Where a front-end gets {@link GUEST_LINES}. */
  readonly hubSocketPath: string;
  /** Of the lines' topics. */
  readonly topicPrefix: string;
}

/** Starts `rproc-gpio serve`. @param gateway its name in topics */
export async function startHubService(
  brokerPort: number,
  gateway: string,
  eventQos: 0 | 1,
): Promise<HubService> {
  let folder = '';
  const service = await startProcess(null, (own) => {
    folder = own;
    const file = join(folder, 'rproc-gpio.yaml');
    writeFileSync(file, JSON.stringify(configuration(folder, brokerPort, gateway, eventQos)));
    return {
      command: SERVICE_COMMAND,
      options: ['serve', `--config=${file}`],
      ready: untilReadyLine,
      socketPath: '',
      isNode: true,
    };
  });
  const firmwarePid = processTree(service.pid).find((pid) => pid !== service.pid);
  if (firmwarePid === undefined) {
    await service.close();
    throw new Error('the service runs without its firmware process');
  }
  return {
    ...service,
    eventQos,
    firmwarePid,
    pinsPath: join(folder, 'pins.sock'),
    simSocketPath: join(folder, 'sim.sock'),
    hubSocketPath: join(folder, 'hub.sock'),
    topicPrefix: `${BASE_TOPIC}/${gateway}/hub`,
  };
}

function configuration(folder: string, brokerPort: number, gateway: string, eventQos: 0 | 1): object {
  return {
    coprocessors: {
      hub: {
        memory: [{ type: 'memfd', sizeBytes: 0x40000, deviceAddress: 0x20000000 }],
        resourceTable: { deviceAddress: 0x20000000 },
        doorbell: { type: 'eventfd' },
        exec: { command: [FIRMWARE, `--pins=${join(folder, 'pins.sock')}`] },
      },
    },
    chips: { hub: { coprocessor: 'hub' }, sim: { type: 'sim', lines: SIM_LINES } },
    exports: {
      sim: { socket: join(folder, 'sim.sock'), lines: ['sim/*'] },
      hub: { socket: join(folder, 'hub.sock'), lines: GUEST_LINES.map((line) => `hub/${line}`) },
    },
    mqtt: {
      broker: `mqtt://127.0.0.1:${brokerPort}`,
      baseTopic: BASE_TOPIC,
      gateway,
      topics: { event: { qos: eventQos } },
      lines: [
        ...EVENT_LINES.map((line) => ({ line: `hub/${line}`, role: 'input' })),
        ...COMMAND_LINES.map((line) => ({ line: `hub/${line}`, role: 'output' })),
      ],
    },
    control: { enabled: false },
    // A line of text for each level change would be measured with it.
    log: { lines: [] },
  };
}
