/** The service as it is used: the host firmware as its co-processor, guests, MQTT, the control socket. */
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
export const GUEST_LINES = ['SENSOR_RST', 'SENSOR_PWR_EN', 'BUZZER'];
/** The device `loop`: an output that is wired to an input. */
export const LOOP_LINES = ['LOOP_OUT', 'LOOP_IN'];
/** Lines of the simulated chip, all of them in the device `sim`. */
export const SIM_LINES = 32;

/** What a {@link HubService} has beside its co-processor and its guests. */
export interface HubOptions {
  /** Without it, no MQTT. */
  readonly mqtt?: {
    readonly brokerPort: number;
    /** Its name in topics. */
    readonly gateway: string;
    /** With which level changes are published. */
    readonly eventQos: 0 | 1;
  };
  /** A control socket. */
  readonly control?: boolean;
  /** Further options of the firmware. */
  readonly firmwareOptions?: readonly string[];
}

export interface HubService extends Service {
  readonly firmwarePid: number;
  readonly pinsPath: string;
  /** Where a front-end gets the simulated lines. */
  readonly simSocketPath: string;
  /** Where a front-end gets {@link GUEST_LINES}. */
  readonly hubSocketPath: string;
  /** Where a front-end gets {@link LOOP_LINES}. */
  readonly loopSocketPath: string;
  /** Where a front-end gets {@link EVENT_LINES}. */
  readonly eventSocketPath: string;
  /** There with {@link HubOptions.control}. */
  readonly controlSocketPath: string;
}

/** A service with MQTT. */
export interface HubMqttService extends HubService {
  readonly eventQos: 0 | 1;
  /** Of the lines' topics. */
  readonly topicPrefix: string;
}

/** Starts `rproc-gpio serve` with MQTT. @param gateway its name in topics */
export async function startHubMqttService(
  brokerPort: number,
  gateway: string,
  eventQos: 0 | 1,
  further: Omit<HubOptions, 'mqtt'> = {},
): Promise<HubMqttService> {
  const service = await startHubService({ ...further, mqtt: { brokerPort, gateway, eventQos } });
  return { ...service, eventQos, topicPrefix: `${BASE_TOPIC}/${gateway}/hub` };
}

/** Starts `rproc-gpio serve`. */
export async function startHubService(options: HubOptions = {}): Promise<HubService> {
  let folder = '';
  const service = await startProcess(null, (own) => {
    folder = own;
    const file = join(folder, 'rproc-gpio.yaml');
    writeFileSync(file, JSON.stringify(configuration(folder, options)));
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
    firmwarePid,
    pinsPath: join(folder, 'pins.sock'),
    simSocketPath: join(folder, 'sim.sock'),
    hubSocketPath: join(folder, 'hub.sock'),
    loopSocketPath: join(folder, 'loop.sock'),
    eventSocketPath: join(folder, 'events.sock'),
    controlSocketPath: join(folder, 'control.sock'),
  };
}

function configuration(folder: string, { mqtt, control, firmwareOptions = [] }: HubOptions): object {
  const device = (socket: string, lines: readonly string[]): object => ({
    socket: join(folder, socket),
    lines: lines.map((line) => `hub/${line}`),
  });
  return {
    coprocessors: {
      hub: {
        memory: [{ type: 'memfd', sizeBytes: 0x40000, deviceAddress: 0x20000000 }],
        resourceTable: { deviceAddress: 0x20000000 },
        doorbell: { type: 'eventfd' },
        exec: { command: [FIRMWARE, `--pins=${join(folder, 'pins.sock')}`, ...firmwareOptions] },
      },
    },
    chips: { hub: { coprocessor: 'hub' }, sim: { type: 'sim', lines: SIM_LINES } },
    exports: {
      sim: { socket: join(folder, 'sim.sock'), lines: ['sim/*'] },
      hub: device('hub.sock', GUEST_LINES),
      loop: device('loop.sock', LOOP_LINES),
      events: device('events.sock', EVENT_LINES),
    },
    ...(mqtt === undefined
      ? {}
      : {
          mqtt: {
            broker: `mqtt://127.0.0.1:${mqtt.brokerPort}`,
            baseTopic: BASE_TOPIC,
            gateway: mqtt.gateway,
            topics: { event: { qos: mqtt.eventQos } },
            lines: [
              ...EVENT_LINES.map((line) => ({ line: `hub/${line}`, role: 'input' })),
              ...COMMAND_LINES.map((line) => ({ line: `hub/${line}`, role: 'output' })),
            ],
          },
        }),
    control: control ? { socket: join(folder, 'control.sock') } : { enabled: false },
    // A line of text for each level change would be measured with it.
    log: { lines: [] },
  };
}
