import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { DIRECTION_OUT } from '../../src/gpio/chip.ts';
import { SimulatedChip } from '../../src/testing/simulated-chip.ts';
import { eventually, openLines, serve } from '../exporters/control/served-control.ts';
import { TestConsumer } from '../gpio/consumer.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const folder = join(root, 'examples/scripts');
const scripts = readdirSync(folder);
const tsx = join(root, 'node_modules/.bin/tsx');
/** The names of the demo's lines that the scripts take when they are told none, and what tests drive: line 2k is wired to 2k+1. */
const NAMES = ['LED_STATUS', 'LED_SENSE', 'BUTTON', '', 'IMU_INT', ''];
const BUTTON_OFFSET = 2;
const IMU_OFFSET = 4;

class Script {
  stdout = '';
  stderr = '';
  readonly child: ChildProcess;
  readonly ended: Promise<number | NodeJS.Signals | null>;
  #onOutput: () => void = () => {};

  constructor(name: string, args: readonly string[], socket: string) {
    this.child = spawn(tsx, [join(folder, name), ...args], {
      cwd: root,
      env: { ...process.env, RPROC_GPIO_SOCKET: socket },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      this.#onOutput();
    });
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.ended = new Promise((resolve) => {
      this.child.on('close', (code, signal) => {
        resolve(code ?? signal);
        this.#onOutput();
      });
    });
    onTestFinished(() => {
      if (this.child.exitCode === null) this.child.kill('SIGKILL');
    });
  }

  /** Resolves when the output holds a text. */
  says(text: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#onOutput = () => {
        if (this.stdout.includes(text)) resolve();
        else if (this.child.exitCode !== null) reject(new Error(`it ended: ${this.stdout}${this.stderr}`));
      };
      this.#onOutput();
    });
  }
}

async function hub() {
  const chip = new SimulatedChip('hub', NAMES.length, NAMES);
  const lines = openLines(chip);
  return { ...(await serve({ chips: () => [lines] })), chip, lines };
}

describe('examples/scripts', () => {
  it('are these', () => expect(scripts).toEqual(['blink-on-edge.ts', 'watch-line.ts']));

  it('watch-line.ts prints the edges of a line', async () => {
    const { path, chip, server } = await hub();
    const script = new Script('watch-line.ts', ['hub/IMU_INT', '3'], path);
    await script.says('watching hub/IMU_INT, level 0\n');
    for (const level of [1, 0, 1] as const) chip.drive(IMU_OFFSET, level);
    expect(await script.ended).toBe(0);
    expect(script.stdout.replace(/^\d+ /gm, 'TIME ').split('\n').slice(1)).toEqual([
      'TIME rising (edge 1 of this line)',
      'TIME falling (edge 2 of this line)',
      'TIME rising (edge 3 of this line)',
      '',
    ]);
    expect(script.stderr).toBe('');
    await eventually(() => expect(server.openLines).toBe(0));
  });

  it('watch-line.ts says how to start a service', async () => {
    const { path, server } = await hub();
    await server.close();
    const script = new Script('watch-line.ts', [], path);
    expect(await script.ended).toBe(1);
    expect(script.stderr).toContain('start it with `rproc-gpio serve` or `npm start`');
  });

  it('blink-on-edge.ts pulses an output, says who has it, and gives it up', async () => {
    const { path, chip, lines } = await hub();
    const guest = new TestConsumer(lines, 0, 'guest vm1');
    const script = new Script('blink-on-edge.ts', ['BUTTON', 'LED_STATUS', '20'], path);
    await script.says('LED_STATUS blinks when BUTTON rises\n');
    guest.setDirection(DIRECTION_OUT);
    chip.drive(BUTTON_OFFSET, 1);
    await script.says('edge 1: hub/LED_STATUS: busy: owned by guest vm1\n');
    guest.handle.close();
    const led = lines.lines[0]!;
    const before = led.edges;
    chip.drive(BUTTON_OFFSET, 0);
    chip.drive(BUTTON_OFFSET, 1);
    await script.says('edge 3: blinked\n');
    await eventually(() => {
      expect(led.edges).toBeGreaterThan(before);
      expect(chip.level(0)).toBe(0);
    });
    expect(led.ownerName).toBe('command line');
    script.child.kill('SIGTERM');
    expect(await script.ended).toBe(0);
    expect(led.owner).toBeNull();
    expect(script.stderr).toBe('');
  });
});

describe('TypeScript in docs/control.md', () => {
  const page = readFileSync(join(root, 'docs/control.md'), 'utf8');
  const blocks = [...page.matchAll(/^```ts\n([\s\S]*?)^```/gm)].map(([, text]) => text as string);

  it.each(blocks)('is a piece of a script that is run: %#', (block) => {
    const texts = scripts.map((name) => readFileSync(join(folder, name), 'utf8'));
    expect(texts.some((text) => text.includes(block))).toBe(true);
  });

  it('is there', () => expect(blocks).toHaveLength(scripts.length));
});
