import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { VhostUserFrontEnd } from '../../src/testing/front-end.ts';
import {
  MSG_GET_DIRECTION,
  MSG_GET_VALUE,
  MSG_SET_DIRECTION,
  MSG_SET_IRQ_TYPE,
  MSG_SET_VALUE,
} from '../../src/wire/virtio-gpio.ts';
import { CommandProcess, isAlive, run, scratchFolder } from './command-process.ts';
import { PinsClient } from './pins-client.ts';

const NAMES = [
  'IMU_INT',
  'BARO_DRDY',
  'ALS_INT',
  'PROX_INT',
  'MAG_DRDY',
  'BUTTON',
  'LID_OPEN',
  'TAMPER',
  'LED_STATUS',
  'LED_ERROR',
  'SENSOR_RST',
  'SENSOR_PWR_EN',
  'BUZZER',
  '',
  'LOOP_OUT',
  'LOOP_IN',
];
const line = (name: string): number => NAMES.indexOf(name);

async function demo() {
  const folder = scratchFolder();
  const command = new CommandProcess(['demo', `--dir=${folder}`]);
  await command.until(/^ready: vm1 \(16 lines\).*\n.*\n.*\n/);
  return { folder, command };
}

async function guestOf(folder: string): Promise<VhostUserFrontEnd> {
  const socketPath = join(folder, 'vm1.sock');
  const guest = await VhostUserFrontEnd.connect({ socketPath, timeoutMs: 10_000 });
  onTestFinished(() => guest.close());
  return guest;
}

/** Processes that a process has started. */
function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return text === '' ? [] : text.split(' ').map(Number);
}

describe('demo', () => {
  it('reaches ready, says how to go on, and logs what happens on its pins', async () => {
    const { folder, command } = await demo();
    expect(command.stdout).toContain(join(folder, 'vm1.sock'));
    expect(command.stdout).toContain(join(folder, 'pins.sock'));
    const pins = new PinsClient(join(folder, 'pins.sock'));
    expect(await pins.ask('set IMU_INT 1')).toBe('ok');
    await command.until(/^\d+\.\d{9}\trising\t"hub\/IMU_INT"$/m);
    expect(await pins.ask('set BUTTON 0')).toBe('ok');
    await command.until(/^\d+\.\d{9}\tfalling\t"hub\/BUTTON"$/m);
    expect(await pins.ask('set IMU_INT 0')).toBe('ok');
    await command.until(/^\d+\.\d{9}\tfalling\t"hub\/IMU_INT"$/m);
  });

  it('gives a guest the hub’s lines: names, levels, edges and outputs', async () => {
    const { folder, command } = await demo();
    const pins = new PinsClient(join(folder, 'pins.sock'));
    await pins.ask('set TAMPER 1');
    const guest = await guestOf(folder);
    expect(await guest.lineNames()).toEqual(NAMES);
    expect((await guest.request(MSG_GET_VALUE, line('TAMPER'))).value).toBe(1);
    expect((await guest.request(MSG_GET_VALUE, line('BUTTON'))).value).toBe(1);
    await guest.request(MSG_SET_IRQ_TYPE, line('BUTTON'), 3);
    for (const level of [0, 1]) {
      guest.queueEvent(line('BUTTON'));
      expect(await pins.ask(`set BUTTON ${level}`)).toBe('ok');
      expect(await guest.nextEvent()).toEqual({ gpio: line('BUTTON'), status: 1, usedLength: 1 });
      expect((await guest.request(MSG_GET_VALUE, line('BUTTON'))).value).toBe(level);
    }
    expect(await pins.ask('get LED_STATUS')).toBe('0');
    await guest.request(MSG_SET_VALUE, line('LED_STATUS'), 1);
    expect((await guest.request(MSG_SET_DIRECTION, line('LED_STATUS'), 1)).status).toBe(0);
    expect(await pins.ask('get LED_STATUS')).toBe('1');
    await command.until(/\trising\t"hub\/LED_STATUS"\toutput$/m);
  });

  it('takes less than 120 MB', async () => {
    const { folder, command } = await demo();
    await (await guestOf(folder)).lineNames();
    const [, kilobytes] = /VmRSS:\s+(\d+) kB/.exec(
      readFileSync(`/proc/${command.child.pid}/status`, 'utf8'),
    )!;
    expect(Number(kilobytes)).toBeLessThan(120_000);
  });

  it('ends on SIGTERM with code 0, its sockets removed and its firmware ended', async () => {
    const { folder, command } = await demo();
    const firmware = childrenOf(command.child.pid!);
    expect(firmware).toHaveLength(1);
    const start = performance.now();
    expect(await command.terminate()).toBe(0);
    expect(performance.now() - start).toBeLessThan(3000);
    expect(readdirSync(folder)).toEqual([]);
    expect(isAlive(firmware[0]!)).toBe(false);
  });

  it('says that the firmware has crashed, starts it again, and serves guests as before', async () => {
    const { folder, command } = await demo();
    const guest = await guestOf(folder);
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
    new PinsClient(join(folder, 'pins.sock')).tell('crash');
    await command.until(/^error: hub: firmware .*SIGABRT.*; starting it again in 100 ms$/m, 'stderr');
    await command.until(/^info: hub: is back after \d+ ms/m, 'stderr');
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
    expect((await guest.request(MSG_SET_DIRECTION, 8, 1)).status).toBe(0);
    expect(command.stderr.match(/^error: .*$/gm)).toHaveLength(1);
    expect(await command.terminate()).toBe(0);
  });

  it('answers guests ERR while the firmware hangs, and OK again afterwards', async () => {
    const { folder } = await demo();
    const guest = await guestOf(folder);
    const pins = new PinsClient(join(folder, 'pins.sock'));
    expect(await pins.ask('hang')).toBe('ok');
    const start = performance.now();
    expect((await guest.request(MSG_GET_DIRECTION, line('LED_ERROR'))).status).toBe(1);
    // After requestTimeoutMs, 200 ms; the rest is what a busy machine may take.
    expect(performance.now() - start).toBeLessThan(1000);
    expect(await pins.ask('resume')).toBe('ok');
    const deadline = performance.now() + 5000;
    let status = 1;
    while (status !== 0 && performance.now() < deadline) {
      ({ status } = await guest.request(MSG_GET_DIRECTION, line('LED_ERROR')));
    }
    expect(status).toBe(0);
  });

  it('a second time in the same folder is refused, and takes nothing from the first', async () => {
    const { folder, command } = await demo();
    const { code, stderr } = await run(['demo', `--dir=${folder}`]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^rproc-gpio: /m);
    const pins = new PinsClient(join(folder, 'pins.sock'));
    expect(await pins.ask('set IMU_INT 1')).toBe('ok');
    await command.until(/rising\t"hub\/IMU_INT"/);
    const guest = await guestOf(folder);
    expect((await guest.request(MSG_GET_VALUE, line('IMU_INT'))).value).toBe(1);
  });
});

describe('the demo’s folder', () => {
  it('is made for this user alone when it is not there', async () => {
    const folder = join(scratchFolder(), 'new');
    const command = new CommandProcess(['demo', `--dir=${folder}`]);
    await command.until(/^ready/);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(statSync(join(folder, 'vm1.sock')).mode & 0o777).toBe(0o600);
  });

  it('is in XDG_RUNTIME_DIR unless named', async () => {
    const folder = scratchFolder();
    const command = new CommandProcess(['demo'], { env: { XDG_RUNTIME_DIR: folder } });
    await command.until(/^ready/);
    expect(existsSync(join(folder, 'rproc-gpio-demo', 'vm1.sock'))).toBe(true);
  });

  it('keeps the mode that it has', async () => {
    const folder = join(scratchFolder(), 'shared');
    mkdirSync(folder, { mode: 0o755 });
    const command = new CommandProcess(['demo', `--dir=${folder}`]);
    await command.until(/^ready/);
    expect(statSync(folder).mode & 0o777).toBe(0o755);
  });

  it.each([
    ['a file', 'file', /file is not a folder of this user/],
    ['below one that is not there', 'no/where', /cannot be made \(ENOENT\); name a folder/],
    ['below /proc', '/proc/nowhere', /cannot be made \(ENOENT\)/],
    ['longer than a socket’s path', 'x'.repeat(100), /at most 107 bytes/],
  ])('that is %s: exit code 1 or 2, told clearly', async (_what, name, message) => {
    const cwd = scratchFolder();
    writeFileSync(join(cwd, 'file'), '');
    const { code, stdout, stderr } = await run(['demo', `--dir=${name}`], { cwd });
    expect([1, 2]).toContain(code);
    expect(stdout).toBe('');
    expect(stderr).toMatch(message);
  });
});

describe('demo --dialect', () => {
  it.each(['virtio-gpio', 'srtm', 'rpmsg-io', 'rpmsg-gpio', 'rpmsg-gpio-kind0', 'metux'])(
    '%s: the same commands work, also after the firmware has crashed',
    async (dialect) => {
      const folder = scratchFolder();
      const command = new CommandProcess([
        'demo',
        `--dir=${folder}`,
        '--mqtt-port=0',
        `--dialect=${dialect}`,
      ]);
      await command.until(/^ready: vm1 \(16 lines\).*\n/);
      const socket = `--socket=${join(folder, 'control.sock')}`;
      const ask = (...args: string[]) => run([...args, socket]);
      expect((await ask('info', 'IMU_INT')).stdout).toMatch(/^hub 0\t"IMU_INT"/);
      expect(await ask('set', 'LED_STATUS=1')).toMatchObject({ code: 0, stderr: '' });
      const pins = new PinsClient(join(folder, 'pins.sock'));
      expect(await pins.ask('get LED_STATUS')).toBe('1');
      const mon = new CommandProcess(['mon', '--banner', '-n', '2', 'IMU_INT', socket]);
      await mon.until(/\n/);
      await pins.ask('set IMU_INT 1');
      await mon.until(/\trising\t"IMU_INT"\n/);
      await pins.ask('set IMU_INT 0');
      await mon.until(/\tfalling\t"IMU_INT"\n/);
      expect(await mon.exit()).toBe(0);
      pins.tell('crash');
      await command.until(/hub.* is back/, 'stderr');
      // Answered once the line is what it was.
      expect((await ask('get', 'LED_STATUS')).stdout).toBe('"LED_STATUS"=active\n');
      const again = new PinsClient(join(folder, 'pins.sock'));
      expect(await again.ask('get LED_STATUS')).toBe('1');
      expect(await ask('set', 'LED_STATUS=0')).toMatchObject({ code: 0 });
      expect(await again.ask('get LED_STATUS')).toBe('0');
      expect(await command.terminate()).toBe(0);
    },
  );

  it('says which there are', async () => {
    const { code, stderr } = await run(['demo', '--dialect=modbus']);
    expect(code).toBe(2);
    expect(stderr).toContain('--dialect=modbus: one of virtio-gpio, srtm, rpmsg-io');
  });
});
