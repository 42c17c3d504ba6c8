import { writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import type { ServiceStatus } from '../../../src/wire/control.ts';
import { buildFirmware } from './firmware.ts';
import { Gateway } from './gateway.ts';
import { GuestChip } from './guest-chip.ts';
import { LabProcess } from './lab-process.ts';
import { PinsClient } from './pins-client.ts';
import { REPOSITORY, requireFile } from './prerequisites.ts';
import type { Resources } from './resources.ts';
import { ScratchFolder } from './scratch-folder.ts';
import { UmlGuest, VIRTIO_ID_GPIO } from './uml-guest.ts';

/** What a test says of the configuration; the rest is the same for all. */
export interface SharedHubSections {
  /** The section `mqtt`. */
  readonly mqtt?: Readonly<Record<string, unknown>>;
  /** Devices for guests by name, without their sockets; none when absent. */
  readonly exports?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  /** `lineSettings` of the chip `hub`. */
  readonly lineSettings?: Readonly<Record<string, object>>;
  /** Chips besides `hub`. */
  readonly chips?: Readonly<Record<string, object>>;
  /** Options of the firmware, e.g. `--plain`. */
  readonly firmware?: readonly string[];
}

export interface CommandOutcome {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The service with the host-built firmware as the chip `hub`, and all those who share its lines. */
export class SharedHub {
  readonly gateway: Gateway;
  readonly pins: PinsClient;
  readonly #folder: ScratchFolder;

  private constructor(gateway: Gateway, pins: PinsClient, folder: ScratchFolder) {
    this.gateway = gateway;
    this.pins = pins;
    this.#folder = folder;
  }

  /** Starts service and firmware; `resources` owns them. @throws WaitError with the service's log */
  static async start(resources: Resources, sections: SharedHubSections): Promise<SharedHub> {
    const folder = resources.add(new ScratchFolder());
    const gateway = resources.add(
      await Gateway.serve(folder.file('config.yaml'), configuration(folder, sections)),
    );
    const pins = resources.add(await PinsClient.open(folder.file('pins.sock'), () => gateway.process.ended));
    return new SharedHub(gateway, pins, folder);
  }

  /** Boots a guest on one of the exports and finds its chip; `resources` owns it. @throws WaitError */
  async boot(resources: Resources, exportName: string): Promise<GuestChip> {
    const socketPath = this.socketOf(exportName);
    const guest = await UmlGuest.boot({ devices: [{ socketPath, deviceId: VIRTIO_ID_GPIO }] });
    return GuestChip.find(resources.add(guest));
  }

  socketOf(exportName: string): string {
    return socketOf(this.#folder, exportName);
  }

  /** Writes the configuration file anew; the service looks at it when it is told to. */
  configure(sections: SharedHubSections): void {
    writeFileSync(this.#folder.file('config.yaml'), stringify(configuration(this.#folder, sections)));
  }

  /** Starts `rproc-gpio COMMAND...` as somebody at a shell of this host does. */
  startCommand(...parameters: readonly string[]): LabProcess {
    const program = requireFile(`${REPOSITORY}/bin/rproc-gpio`, 'npm run build');
    return new LabProcess({
      name: `rproc-gpio ${parameters.join(' ')}`,
      command: [program, ...parameters],
      env: { RPROC_GPIO_SOCKET: this.#folder.file('control.sock') },
    });
  }

  /** Runs `rproc-gpio COMMAND...` to its end. */
  async command(...parameters: readonly string[]): Promise<CommandOutcome> {
    const process = this.startCommand(...parameters);
    await process.exited;
    return { exitCode: process.exitCode, stdout: process.stdout.text, stderr: process.stderr.text };
  }

  /** What `rproc-gpio status --json` prints. @throws Error with the words of the command */
  async status(): Promise<ServiceStatus> {
    const { exitCode, stdout, stderr } = await this.command('status', '--json');
    if (exitCode !== 0) throw new Error(`status ended with ${exitCode}: ${stderr}`);
    return JSON.parse(stdout) as ServiceStatus;
  }
}

function socketOf(folder: ScratchFolder, exportName: string): string {
  return folder.file(`${exportName}.sock`);
}

function configuration(folder: ScratchFolder, sections: SharedHubSections): object {
  const { mqtt, exports = {}, lineSettings = {}, chips = {}, firmware = [] } = sections;
  return {
    coprocessors: {
      hub: {
        memory: [{ type: 'memfd', sizeBytes: 0x4_0000, deviceAddress: 0x2000_0000 }],
        resourceTable: { deviceAddress: 0x2000_0000 },
        doorbell: { type: 'eventfd' },
        exec: { command: [buildFirmware('host'), `--pins=${folder.file('pins.sock')}`, ...firmware] },
      },
    },
    chips: { hub: { coprocessor: 'hub', vdev: 0, lineSettings }, ...chips },
    exports: Object.fromEntries(
      Object.entries(exports).map(([name, section]) => [
        name,
        { socket: socketOf(folder, name), ...section },
      ]),
    ),
    ...(mqtt ? { mqtt } : {}),
    control: { socket: folder.file('control.sock') },
  };
}
