import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPOSITORY } from './prerequisites.ts';
import type { QemuMcu } from './qemu-mcu.ts';
import type { Wires } from './wires.ts';

/** One line of examples/sensor-hub/lm3s6965evb/lines.json. */
interface McuPin {
  readonly name: string;
  /** Of the port, a PL061. */
  readonly baseAddress: number;
  readonly bit: number;
}

/** The pins of the emulated MCU: any of its inputs, and the outputs of one port (qtest watches one device). */
export class McuWires implements Wires {
  readonly #mcu: QemuMcu;
  readonly #pins: readonly McuPin[];
  /** Object paths of the ports by base address. */
  readonly #paths: ReadonlyMap<number, string>;
  readonly #outputPort: number;

  private constructor(
    mcu: QemuMcu,
    pins: readonly McuPin[],
    paths: ReadonlyMap<number, string>,
    outputPort: number,
  ) {
    this.#mcu = mcu;
    this.#pins = pins;
    this.#paths = paths;
    this.#outputPort = outputPort;
  }

  /** @param outputPort base address of the port whose outputs are watched from now on */
  static async attach(mcu: QemuMcu, outputPort: number): Promise<McuWires> {
    const pins = readPins();
    const paths = new Map<number, string>();
    for (const { baseAddress } of pins) {
      if (!paths.has(baseAddress)) paths.set(baseAddress, await mcu.gpioPort(baseAddress));
    }
    await mcu.qtest.interceptOutputs(required(paths.get(outputPort), `port 0x${outputPort.toString(16)}`));
    return new McuWires(mcu, pins, paths, outputPort);
  }

  async set(name: string, level: 0 | 1): Promise<void> {
    const { baseAddress, bit } = this.#pin(name);
    await this.#mcu.qtest.setLine(required(this.#paths.get(baseAddress), name), bit, level);
  }

  /** Levels that the output has taken since the start, low before the first. */
  changesOf(name: string): (0 | 1)[] {
    const { bit } = this.#output(name);
    const changes: (0 | 1)[] = [];
    for (const line of this.#mcu.qtest.outputs.lines) {
      if (line === `raise ${bit}`) changes.push(1);
      else if (line === `lower ${bit}`) changes.push(0);
    }
    return changes;
  }

  async waitForLevel(name: string, level: 0 | 1): Promise<void> {
    const { bit } = this.#output(name);
    const { outputs } = this.#mcu.qtest;
    const from = outputs.lines.length;
    // QEMU reports changes only, and all outputs are low at reset.
    if ((this.changesOf(name).at(-1) ?? 0) === level) return;
    await outputs.waitFor(new RegExp(`^${level === 1 ? 'raise' : 'lower'} ${bit}$`), { from });
  }

  #output(name: string): McuPin {
    const pin = this.#pin(name);
    if (pin.baseAddress === this.#outputPort) return pin;
    throw new Error(`${name} is not on the port whose outputs are watched`);
  }

  #pin(name: string): McuPin {
    return required(
      this.#pins.find((pin) => pin.name === name),
      `line ${name}`,
    );
  }
}

function required<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`the board has no ${what}`);
  return value;
}

/** @throws Error when lines.json is not what the firmware's makefile makes sure of */
function readPins(): McuPin[] {
  const path = join(REPOSITORY, 'examples/sensor-hub/lm3s6965evb/lines.json');
  const rows: unknown = JSON.parse(readFileSync(path, 'utf8'));
  if (!Array.isArray(rows)) throw new Error(`${path}: expected an array`);
  return rows.map((row: Record<string, unknown>) => {
    const { name, baseAddress, bit } = row;
    if (typeof name === 'string' && typeof baseAddress === 'number' && typeof bit === 'number') {
      return { name, baseAddress, bit };
    }
    throw new Error(`${path}: expected name, baseAddress and bit in ${JSON.stringify(row)}`);
  });
}
