import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CommandProcess, run, scratchFolder } from './command-process.ts';
import { PinsClient } from './pins-client.ts';

/** The demo, and how to ask it. */
async function demo() {
  const folder = scratchFolder();
  const command = new CommandProcess(['demo', `--dir=${folder}`, '--mqtt-port=0']);
  await command.until(/^ready.*\n/);
  const socket = `--socket=${join(folder, 'control.sock')}`;
  return { folder, command, ask: (...args: string[]) => run([...args, socket]) };
}

describe('coprocessor', () => {
  it('stops, starts and restarts one, and outputs come back with it', async () => {
    const { folder, command, ask } = await demo();
    expect((await ask('set', 'LED_STATUS=1')).code).toBe(0);
    expect(await ask('coprocessor', 'stop', 'hub')).toEqual({ code: 0, stdout: 'hub stopped\n', stderr: '' });
    const refused = await ask('get', 'LED_STATUS');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/LED_STATUS.*unavailable/);
    expect(await ask('coprocessor', 'start', 'hub')).toMatchObject({ code: 0, stdout: 'hub running\n' });
    const pins = new PinsClient(join(folder, 'pins.sock'));
    expect(await pins.ask('get LED_STATUS')).toBe('1');
    const restarted = await ask('coprocessor', 'restart', 'hub', '--json');
    expect(JSON.parse(restarted.stdout)).toMatchObject({ name: 'hub', state: 'running', restarts: 2 });
    expect((await ask('get', 'LED_STATUS')).stdout).toBe('"LED_STATUS"=active\n');
    expect(await command.terminate()).toBe(0);
  });

  it('says which there are, and how it is used', async () => {
    const { ask } = await demo();
    expect(await ask('coprocessor', 'stop', 'hubb')).toEqual({
      code: 1,
      stdout: '',
      stderr: "rproc-gpio: no co-processor is named 'hubb'; there is hub\n",
    });
    const { code, stderr } = await ask('coprocessor', 'pause', 'hub');
    expect(code).toBe(2);
    expect(stderr).toContain("expected start, stop or restart, not 'pause'");
    expect((await ask('coprocessor', 'stop')).code).toBe(2);
  });
});
