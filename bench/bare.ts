/** The bare publisher, as seen from the bench. */
import { type ChildProcess, fork } from 'node:child_process';
import { resolve } from 'node:path';
import type { BareAnswer, BareOrder } from './bare-publisher.ts';
import { ROOT } from './programs.ts';

export class BarePublisher {
  readonly #child: ChildProcess;

  constructor() {
    // With the loader that runs this file: fork() hands it on.
    this.#child = fork(resolve(ROOT, 'bench/bare-publisher.ts'), {
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    });
    // What mqtt.js warns of: as many listeners as messages in a window.
    this.#child.stderr!.resume();
  }

  /** Resolves when all is published (QoS 1: confirmed). @throws Error when the broker or the process went away */
  publish(order: BareOrder): Promise<BareAnswer> {
    const child = this.#child;
    return new Promise((settle, reject) => {
      const ended = (code: number | null): void => reject(new Error(`the bare publisher ended with ${code}`));
      child.once('exit', ended);
      child.once('message', (answer: BareAnswer | { readonly fault: string }) => {
        child.off('exit', ended);
        if ('fault' in answer) reject(new Error(`the bare publisher: ${answer.fault}`));
        else settle(answer);
      });
      child.send(order);
    });
  }

  /** Idempotent. */
  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = new Promise((settle) => this.#child.once('exit', settle));
    this.#child.kill('SIGTERM');
    await gone;
  }
}
