import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { LabProcess } from './lab-process.ts';
import { REPOSITORY, requireFile } from './prerequisites.ts';

const READY_LIMIT_MS = 60_000;

/** The service under test, started as its users start it. */
export class Gateway {
  readonly process: LabProcess;

  private constructor(process: LabProcess) {
    this.process = process;
  }

  /** Runs `rproc-gpio serve`; resolves when guests can connect. @throws WaitError */
  static serve(configPath: string, config: object): Promise<Gateway> {
    writeFileSync(configPath, stringify(config));
    return Gateway.#start(['serve', '-c', configPath]);
  }

  /** Runs `rproc-gpio demo` with its sockets in `folder`: `vm1.sock` for a guest, `pins.sock`. @throws WaitError */
  static demo(folder: string): Promise<Gateway> {
    return Gateway.#start(['demo', `--dir=${folder}`]);
  }

  /** Runs `rproc-gpio vhost-user-gpio`, the form that offers one chip on one socket. @throws WaitError */
  static vhostUserGpio(socketPath: string, chip: string): Promise<Gateway> {
    return Gateway.#start(['vhost-user-gpio', `--socket-path=${socketPath}`, `--chip=${chip}`]);
  }

  static async #start(parameters: readonly string[]): Promise<Gateway> {
    const program = requireFile(join(REPOSITORY, 'bin/rproc-gpio'), 'npm run build');
    const process = new LabProcess({
      name: `rproc-gpio ${parameters[0]}`,
      command: [program, ...parameters],
    });
    try {
      await process.stdout.waitFor(/^ready/, { limitMs: READY_LIMIT_MS });
    } catch (error) {
      await process.close();
      throw error;
    }
    return new Gateway(process);
  }

  /** Idempotent. */
  close(): Promise<void> {
    return this.process.close();
  }
}
