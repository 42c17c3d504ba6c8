import { writeFileSync } from 'node:fs';
import { GuestConsole } from './guest-console.ts';
import { GUEST_INIT } from './guest-init.ts';
import { buildInitramfs } from './initramfs.ts';
import { LabProcess } from './lab-process.ts';
import { prerequisites } from './prerequisites.ts';
import { ScratchFolder } from './scratch-folder.ts';

/** virtio device id (virtio 1.2, section 5). */
export const VIRTIO_ID_GPIO = 41;

export interface UmlDevice {
  /** The vhost-user back-end's socket; it must listen already. */
  readonly socketPath: string;
  readonly deviceId: number;
}

export interface UmlGuestOptions {
  readonly devices: readonly UmlDevice[];
  readonly memoryMiB?: number;
  readonly bootLimitMs?: number;
}

/** A Linux guest as a User-Mode Linux process: up in a fraction of a second, a vhost-user front-end by itself. */
export class UmlGuest extends GuestConsole {
  readonly process: LabProcess;
  readonly #folder: ScratchFolder;

  private constructor(process: LabProcess, folder: ScratchFolder) {
    super(process);
    this.process = process;
    this.#folder = folder;
  }

  /** Boots a guest; resolves when it takes commands. @throws WaitError with the end of its console */
  static async boot(options: UmlGuestOptions): Promise<UmlGuest> {
    const { umlKernel } = prerequisites();
    const folder = new ScratchFolder();
    const initrd = folder.file('initrd.gz');
    writeFileSync(initrd, buildInitramfs(GUEST_INIT));
    const process = new LabProcess({
      name: 'UML guest',
      command: [
        umlKernel,
        `mem=${options.memoryMiB ?? 64}M`,
        'quiet',
        `initrd=${initrd}`,
        'rdinit=/init',
        ...options.devices.map((device) => `virtio_uml.device=${device.socketPath}:${device.deviceId}`),
        'con0=fd:0,fd:1',
        'con=null',
        'ssl=null',
        // Its management socket and pid file would go to the home folder.
        `uml_dir=${folder.path}/`,
      ],
      // Without it glibc registers restartable sequences, which this kernel's host process cannot have: init dies.
      env: { GLIBC_TUNABLES: 'glibc.pthread.rseq=0', TMPDIR: folder.path },
      killSession: true,
    });
    const guest = new UmlGuest(process, folder);
    try {
      await guest.ready(options.bootLimitMs ?? 60_000);
    } catch (error) {
      await guest.close();
      throw error;
    }
    return guest;
  }

  /** Ends the guest as if its power were cut. Idempotent. */
  async close(): Promise<void> {
    await this.process.close();
    this.#folder.close();
  }
}
