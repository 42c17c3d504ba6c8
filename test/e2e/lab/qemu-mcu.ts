import { readdirSync, readlinkSync } from 'node:fs';
import { LabProcess } from './lab-process.ts';
import { WaitError } from './line-log.ts';
import { prerequisites } from './prerequisites.ts';
import { QmpClient } from './qmp-client.ts';
import { QtestClient } from './qtest-client.ts';
import { ScratchFolder } from './scratch-folder.ts';

/** Base address of the PL061 GPIO port B of the LM3S6965 (data sheet, memory map). */
export const GPIO_PORT_B = 0x4000_5000;

/** QEMU names the machine's SRAM after the board's file; /proc shows memfds with this prefix. */
const SRAM_LINK = '/memfd:stellaris.sram';

/** An emulated Cortex-M3 board (lm3s6965evb) whose SRAM other processes can map, with its pins at hand. */
export class QemuMcu {
  readonly process: LabProcess;
  readonly qtest: QtestClient;
  readonly #qmp: QmpClient;
  readonly #folder: ScratchFolder;

  private constructor(process: LabProcess, qtest: QtestClient, qmp: QmpClient, folder: ScratchFolder) {
    this.process = process;
    this.qtest = qtest;
    this.#qmp = qmp;
    this.#folder = folder;
  }

  /** Starts the board with `firmware` (an ELF file) running. @throws WaitError */
  static async start(firmware: string): Promise<QemuMcu> {
    const { qemuArm, qemuDataArguments } = prerequisites();
    const folder = new ScratchFolder();
    const process = new LabProcess({
      name: 'MCU',
      command: [
        qemuArm,
        ...qemuDataArguments,
        ...['-M', 'lm3s6965evb,aux-ram-share=on', '-accel', 'tcg', '-kernel', firmware],
        ...['-nodefaults', '-no-user-config', '-display', 'none'],
        ...['-chardev', `socket,id=doorbell,path=${folder.file('doorbell.sock')},server=on,wait=off`],
        ...['-serial', 'null', '-serial', 'chardev:doorbell'],
        ...['-qtest', `unix:${folder.file('qtest.sock')},server=on,wait=off`, '-qtest-log', '/dev/null'],
        ...['-qmp', `unix:${folder.file('qmp.sock')},server=on,wait=off`],
      ],
    });
    const endedReason = () =>
      process.ended === undefined ? undefined : `${process.ended}; stderr:\n${process.stderr.tail()}`;
    let qmp: QmpClient | undefined;
    try {
      qmp = await QmpClient.open(folder.file('qmp.sock'), endedReason);
      const qtest = await QtestClient.open(folder.file('qtest.sock'), endedReason);
      return new QemuMcu(process, qtest, qmp, folder);
    } catch (error) {
      qmp?.close();
      await process.close();
      folder.close();
      throw error;
    }
  }

  /** The stream socket behind UART1: one byte a doorbell. */
  get doorbellPath(): string {
    return this.#folder.file('doorbell.sock');
  }

  /** A path through which another process can open and map the SRAM (64 KiB at 0x20000000). */
  get sharedMemoryPath(): string {
    const folder = `/proc/${this.process.pid}/fd`;
    const links: string[] = [];
    for (const name of readdirSync(folder)) {
      const link = readlinkSync(`${folder}/${name}`);
      if (link.startsWith(SRAM_LINK)) return `${folder}/${name}`;
      links.push(link);
    }
    throw new WaitError(`${folder} has no ${SRAM_LINK}, only ${links.join(', ')}`);
  }

  /** The object path of the PL061 at `baseAddress`, as qtest wants it. @throws Error when there is none */
  async gpioPort(baseAddress: number): Promise<string> {
    const unattached = '/machine/unattached';
    const seen: string[] = [];
    for (const child of await this.#qmp.list(unattached)) {
      if (!/^child<pl061/.test(child.type)) continue;
      const path = `${unattached}/${child.name}`;
      const region = (await this.#qmp.list(path)).find((part) => part.type === 'child<memory-region>');
      if (!region) continue;
      const address = Number(await this.#qmp.get(`${path}/${region.name}`, 'addr'));
      if (address === baseAddress) return path;
      seen.push(`0x${address.toString(16)}`);
    }
    throw new Error(`no PL061 at 0x${baseAddress.toString(16)}, only at ${seen.join(', ') || '(none)'}`);
  }

  /** Ends the board as if its power were cut. Idempotent. */
  async close(): Promise<void> {
    this.qtest.close();
    this.#qmp.close();
    await this.process.close();
    this.#folder.close();
  }
}
