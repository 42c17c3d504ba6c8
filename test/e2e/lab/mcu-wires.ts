import type { QemuMcu } from './qemu-mcu.ts';
import type { Wires } from './wires.ts';

/** Which pin of which port a line is wired to. */
export interface McuPin {
  readonly port: string;
  readonly bit: number;
}

/** The pins of the emulated MCU: any of its inputs, and the outputs of one port (qtest watches one device). */
export class McuWires implements Wires {
  readonly #mcu: QemuMcu;
  readonly #pins: ReadonlyMap<string, McuPin>;
  readonly #outputPort: string;

  private constructor(mcu: QemuMcu, pins: ReadonlyMap<string, McuPin>, outputPort: string) {
    this.#mcu = mcu;
    this.#pins = pins;
    this.#outputPort = outputPort;
  }

  /**
   * @param pins base address of the port and bit by line name
   * @param outputPort base address of the port whose outputs are watched from now on
   */
  static async attach(
    mcu: QemuMcu,
    pins: Readonly<Record<string, { readonly port: number; readonly bit: number }>>,
    outputPort: number,
  ): Promise<McuWires> {
    const paths = new Map<number, string>();
    const pathOf = async (address: number): Promise<string> => {
      const path = paths.get(address) ?? (await mcu.gpioPort(address));
      paths.set(address, path);
      return path;
    };
    const byName = new Map<string, McuPin>();
    for (const [name, { port, bit }] of Object.entries(pins))
      byName.set(name, { port: await pathOf(port), bit });
    const outputPath = await pathOf(outputPort);
    await mcu.qtest.interceptOutputs(outputPath);
    return new McuWires(mcu, byName, outputPath);
  }

  async set(name: string, level: 0 | 1): Promise<void> {
    const { port, bit } = this.#pin(name);
    await this.#mcu.qtest.setLine(port, bit, level);
  }

  async waitForLevel(name: string, level: 0 | 1): Promise<void> {
    const { port, bit } = this.#pin(name);
    if (port !== this.#outputPort) throw new Error(`${name} is not on the port whose outputs are watched`);
    const { outputs } = this.#mcu.qtest;
    const last = outputs.lines.findLastIndex((line) => line.endsWith(` ${bit}`));
    // QEMU reports changes only, and all outputs are low at reset.
    const current = outputs.lines[last]?.startsWith('raise') ? 1 : 0;
    if (current === level) return;
    await outputs.waitFor(new RegExp(`^${level === 1 ? 'raise' : 'lower'} ${bit}$`), { from: last + 1 });
  }

  #pin(name: string): McuPin {
    const pin = this.#pins.get(name);
    if (!pin) throw new Error(`no line ${name}, only ${[...this.#pins.keys()].join(', ')}`);
    return pin;
  }
}
