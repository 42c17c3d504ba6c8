import { writeFileSync } from 'node:fs';
import { GuestConsole } from './guest-console.ts';
import { GUEST_INIT } from './guest-init.ts';
import { buildInitramfs } from './initramfs.ts';
import { LabProcess } from './lab-process.ts';
import { prerequisites } from './prerequisites.ts';
import { ScratchFolder } from './scratch-folder.ts';

export interface QemuX86GuestOptions {
  /** Sockets of vhost-user-gpio back-ends, one PCI device each; they must listen already. */
  readonly gpioSocketPaths: readonly string[];
  /** QEMU 7, which connects again when a back-end is back (it tries once a second), and has no interrupts. */
  readonly reconnects?: boolean;
  readonly memoryMiB?: number;
  readonly bootLimitMs?: number;
}

/** A Linux guest on an emulated x86 PC, whose virtio-gpio devices are QEMU's vhost-user-gpio-pci. */
export class QemuX86Guest extends GuestConsole {
  readonly process: LabProcess;
  readonly #folder: ScratchFolder;

  private constructor(process: LabProcess, folder: ScratchFolder) {
    super(process);
    this.process = process;
    this.#folder = folder;
  }

  /** Boots a guest; resolves when it takes commands. @throws WaitError with the end of its console */
  static async boot(options: QemuX86GuestOptions): Promise<QemuX86Guest> {
    const lab = prerequisites();
    const { reconnects = false } = options;
    const [qemu, dataArguments] = reconnects
      ? [lab.qemuReconnecting, lab.qemuReconnectingDataArguments]
      : [lab.qemuX86, lab.qemuDataArguments];
    const folder = new ScratchFolder();
    const initrd = folder.file('initrd.gz');
    writeFileSync(initrd, buildInitramfs(GUEST_INIT));
    const size = `${options.memoryMiB ?? 256}M`;
    const process = new LabProcess({
      name: 'x86 guest',
      command: [
        qemu,
        ...dataArguments,
        ...['-accel', 'tcg', '-machine', 'q35,memory-backend=mem', '-m', size],
        // vhost-user needs memory that another process can map.
        ...['-object', `memory-backend-memfd,id=mem,size=${size},share=on`],
        ...['-kernel', lab.x86Kernel, '-initrd', initrd],
        ...['-append', 'console=ttyS0 quiet reboot=t panic=-1'],
        ...['-nodefaults', '-no-user-config', '-display', 'none', '-serial', 'stdio', '-no-reboot'],
        ...options.gpioSocketPaths.flatMap((path, index) => [
          ...['-chardev', `socket,id=gpio${index},path=${path}${reconnects ? ',reconnect=1' : ''}`],
          ...['-device', `vhost-user-gpio-pci,chardev=gpio${index}`],
        ]),
      ],
    });
    const guest = new QemuX86Guest(process, folder);
    try {
      await guest.ready(options.bootLimitMs ?? 120_000);
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
