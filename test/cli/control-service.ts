import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { ControlServer } from '../../src/exporters/control/control-server.ts';
import { ChipLines } from '../../src/gpio/chip-lines.ts';
import { LineOperator } from '../../src/gpio/line-operator.ts';
import { SimulatedChip } from '../../src/testing/simulated-chip.ts';
import type { ReloadReport, ServiceStatus } from '../../src/wire/control.ts';
import { type CommandOptions, CommandProcess, run, scratchFolder } from './command-process.ts';

/** Lines of the chip `hub`; LED_STATUS is wired to LED_SENSE, IMU_INT to BUTTON, and so on in pairs. */
const HUB_LINES = ['LED_STATUS', 'LED_SENSE', 'IMU_INT', 'BUTTON', 'SHARED', '', 'A B', 'C=D'];
const AUX_LINES = ['SHARED', 'RELAY'];

/** The part of the service that commands talk to, in the test's process, with two simulated chips. */
export class ControlService {
  readonly socket: string;
  readonly hub = new SimulatedChip('hub', HUB_LINES.length, HUB_LINES);
  readonly aux = new SimulatedChip('aux', AUX_LINES.length, AUX_LINES);
  readonly chips = [new ChipLines(this.hub), new ChipLines(this.aux)];
  /** What `reload` does. */
  reload: () => Promise<ReloadReport> = async () => ({ changed: [], unchanged: true });
  status: ServiceStatus;
  readonly #server: ControlServer;

  private constructor(access: 'read' | 'write') {
    this.socket = join(scratchFolder(), 'control.sock');
    this.status = {
      version: '0.1.0',
      pid: process.pid,
      startedAtMs: Date.now() - 3_600_000,
      configFile: '/etc/rproc-gpio.yaml',
      coprocessors: [],
      chips: [],
      exports: [],
      mqtt: null,
      control: null,
      owners: [],
    };
    this.#server = new ControlServer({
      path: this.socket,
      access,
      version: '0.1.0',
      chips: () => this.chips,
      status: () => this.status,
      reload: () => this.reload(),
      coprocessor: (name) => Promise.resolve({ name, state: 'running', restarts: 1 }),
      onLog: () => {},
    });
  }

  /** Runs until the test ends. */
  static async start(access: 'read' | 'write' = 'write'): Promise<ControlService> {
    const service = new ControlService(access);
    await service.#server.listen();
    onTestFinished(() => service.close());
    return service;
  }

  close(): Promise<void> {
    return this.#server.close();
  }

  #environment(options: CommandOptions): CommandOptions {
    return { ...options, env: { RPROC_GPIO_SOCKET: this.socket, ...options.env } };
  }

  /** Runs a command against it, to its end. */
  run(args: readonly string[], options: CommandOptions = {}): ReturnType<typeof run> {
    return run(args, this.#environment(options));
  }

  /** Starts a command against it. */
  start(args: readonly string[], options: CommandOptions = {}): CommandProcess {
    return new CommandProcess(args, this.#environment(options));
  }

  /** Another consumer makes a line of the hub an output. */
  async own(offset: number, name: string, level: 0 | 1 = 0): Promise<void> {
    const handle = this.chips[0]!.open(offset, { name, interrupt: () => {} }, 0);
    const operator = new LineOperator(handle);
    await new Promise((resolve) => operator.set(level, resolve));
    onTestFinished(() => {
      operator.close();
      handle.close();
    });
  }
}
