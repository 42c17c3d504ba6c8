import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { LineEdge, LineInfo, ServiceStatus } from '../../src/wire/control.ts';
import { buildMcuFirmware, LINE_NAMES, offsetOf } from './lab/firmware.ts';
import { Gateway } from './lab/gateway.ts';
import { GuestChip, kernelComplaints } from './lab/guest-chip.ts';
import { LabProcess } from './lab/lab-process.ts';
import { McuWires } from './lab/mcu-wires.ts';
import { REPOSITORY, requireFile } from './lab/prerequisites.ts';
import { GPIO_PORT_B, QemuMcu } from './lab/qemu-mcu.ts';
import { Resources } from './lab/resources.ts';
import { ScratchFolder } from './lab/scratch-folder.ts';
import { UmlGuest, VIRTIO_ID_GPIO } from './lab/uml-guest.ts';
import { usesOfLines } from './lab/uses-of-lines.ts';

/** The firmware's ports have so many lines. */
const LINES_A_PORT = 8;

/** SRTM has ports and pins, and no names: the configuration gives them. */
const SRTM_LINES = LINE_NAMES.map((name, offset) => ({
  port: Math.floor(offset / LINES_A_PORT),
  pin: offset % LINES_A_PORT,
  name,
}));

const INPUTS = LINE_NAMES.filter((name, offset) => offset < LINES_A_PORT || name === 'LOOP_IN');
/** Those on the port whose outputs McuWires watches. */
const OUTPUTS = ['LED_STATUS', 'LED_ERROR', 'SENSOR_RST', 'SENSOR_PWR_EN', 'BUZZER', 'LOOP_OUT'] as const;

/** Odd, so that the last edge is a rising one. */
const BURST_EDGES = 101;

// `dialect` is left out of the configuration: the service finds out from the vdev and the channel's name.
const DIALECTS = [
  { dialect: 'srtm', chipSection: { lines: SRTM_LINES }, label: 'srtm on hub' },
  { dialect: 'metux', chipSection: {}, label: 'metux virtio-gpio on hub' },
] as const;

describe.each(DIALECTS)('a Linux guest and the $dialect firmware of a Cortex-M3', (row) => {
  const resources = new Resources();
  let folder: ScratchFolder;
  let gateway: Gateway;
  let chip: GuestChip;
  let wires: McuWires;

  beforeAll(async () => {
    const elf = buildMcuFirmware(row.dialect);
    const mcu = resources.add(await QemuMcu.start(elf));
    wires = await McuWires.attach(mcu, GPIO_PORT_B);
    folder = resources.add(new ScratchFolder());
    const socketPath = folder.file('vm1.sock');
    gateway = resources.add(
      await Gateway.serve(folder.file('config.yaml'), {
        coprocessors: {
          hub: {
            memory: [
              { type: 'file', path: mcu.sharedMemoryPath, sizeBytes: 0x1_0000, deviceAddress: 0x2000_0000 },
            ],
            resourceTable: { elf },
            doorbell: { type: 'socket', path: mcu.doorbellPath },
          },
        },
        chips: { hub: { coprocessor: 'hub', vdev: 0, ...row.chipSection } },
        exports: { vm1: { socket: socketPath, lines: ['hub/*'] } },
        control: { socket: folder.file('control.sock') },
      }),
    );
    const guest = resources.add(await UmlGuest.boot({ devices: [{ socketPath, deviceId: VIRTIO_ID_GPIO }] }));
    chip = await GuestChip.find(guest);
  });
  afterEach(() => chip.guest.stopAll());
  afterAll(() => resources.close());

  /** Starts `rproc-gpio COMMAND...` as somebody at a shell of this host does. */
  function startCommand(...parameters: readonly string[]): LabProcess {
    const program = requireFile(join(REPOSITORY, 'bin/rproc-gpio'), 'npm run build');
    return resources.add(
      new LabProcess({
        name: `rproc-gpio ${parameters.join(' ')}`,
        command: [program, ...parameters],
        env: { RPROC_GPIO_SOCKET: folder.file('control.sock') },
      }),
    );
  }

  /** Runs a command to its good end and gives what it printed. */
  async function succeed(...parameters: readonly string[]): Promise<string> {
    const command = startCommand(...parameters);
    await command.exited;
    expect({ exitCode: command.exitCode, stderr: command.stderr.text }).toEqual({ exitCode: 0, stderr: '' });
    return command.stdout.text;
  }

  async function info(name: string): Promise<LineInfo> {
    return JSON.parse(await succeed('info', '--json', name)) as LineInfo;
  }

  /** Resolves when edges are told from now on; the first line is the banner. */
  async function startMon(...parameters: readonly string[]): Promise<LabProcess> {
    const mon = startCommand('mon', '--banner', ...parameters);
    await mon.stdout.waitForCount(1);
    return mon;
  }

  it('is told by its vdev and shows its lines with their names', async () => {
    expect(await succeed('detect')).toBe(`hub [${row.label}] (16 lines)\n`);
    expect(await chip.lineNames()).toEqual(LINE_NAMES);
    const shown = (await succeed('info', '--json')).trim().split('\n');
    expect(shown.map((line): LineInfo => JSON.parse(line)).map(({ name }) => name)).toEqual(LINE_NAMES);
  });

  usesOfLines(() => ({
    chip,
    wires,
    input: 'BUTTON',
    otherInput: 'IMU_INT',
    output: 'LED_STATUS',
  }));

  it('has each input on its own pin', async () => {
    const offsets = INPUTS.map(offsetOf);
    for (const name of INPUTS) await wires.set(name, 0);
    for (const [index, name] of INPUTS.entries()) {
      await wires.set(name, 1);
      expect(await chip.get(...offsets)).toEqual(offsets.map((_, other) => (other === index ? 1 : 0)));
      await wires.set(name, 0);
    }
  });

  it('has each output on its own pin', async () => {
    for (const name of OUTPUTS) {
      const low = chip.hold(`${offsetOf(name)}=0`);
      await wires.waitForLevel(name, 0);
      await chip.release(low);
      const others = OUTPUTS.filter((other) => other !== name);
      const before = others.map((other) => wires.changesOf(other));
      const high = chip.hold(`${offsetOf(name)}=1`);
      await wires.waitForLevel(name, 1);
      await chip.release(high);
      expect(others.map((other) => wires.changesOf(other))).toEqual(before);
    }
  });

  it('shows a shell what the guest sees and does', async () => {
    await wires.set('BUTTON', 0);
    await wires.set('LID_OPEN', 1);
    const monitor = await chip.monitor([offsetOf('BUTTON'), offsetOf('LID_OPEN')]);
    const holder = chip.hold(`${offsetOf('LED_STATUS')}=1`);
    await wires.waitForLevel('LED_STATUS', 1);
    await expect
      .poll(() => info('LED_STATUS'), { timeout: 60_000 })
      .toMatchObject({
        chip: 'hub',
        offset: offsetOf('LED_STATUS'),
        direction: 'out',
        level: 1,
        owner: 'guest vm1',
        available: true,
      });
    const before = await info('BUTTON');
    expect(before).toMatchObject({ offset: offsetOf('BUTTON'), direction: 'in', level: 0, owner: null });
    expect(before.users).toContain('guest vm1');

    const mon = await startMon('--format', '%e %o %l', 'BUTTON', 'LID_OPEN');
    let edgeCount = 0;
    for (const level of [1, 0, 1] as const) {
      await wires.set('BUTTON', level);
      await wires.set('LID_OPEN', level === 1 ? 0 : 1);
      edgeCount += 2;
      await monitor.stdout.waitForCount(edgeCount);
      await mon.stdout.waitForCount(1 + edgeCount);
    }
    const [button, lid] = [offsetOf('BUTTON'), offsetOf('LID_OPEN')];
    // Edges of two lines may change places on their way; those of one do not.
    const ending = (lines: readonly string[], end: string) => lines.filter((line) => line.endsWith(end));
    expect(ending(monitor.stdout.lines, ` ${button}`)).toEqual([`1 ${button}`, `0 ${button}`, `1 ${button}`]);
    expect(ending(monitor.stdout.lines, ` ${lid}`)).toEqual([`0 ${lid}`, `1 ${lid}`, `0 ${lid}`]);
    // gpiomon of libgpiod 2 says 2 for a falling edge.
    expect(ending(mon.stdout.lines, ' BUTTON')).toEqual([1, 2, 1].map((edge) => `${edge} ${button} BUTTON`));
    expect(ending(mon.stdout.lines, ' LID_OPEN')).toEqual([2, 1, 2].map((edge) => `${edge} ${lid} LID_OPEN`));
    expect(await info('BUTTON')).toMatchObject({ direction: 'in', level: 1, edges: before.edges + 3 });

    const refused = startCommand('set', 'LED_STATUS=0');
    await refused.exited;
    expect(refused.exitCode).toBe(1);
    expect(refused.stderr.text).toMatch(/LED_STATUS.*busy: owned by guest vm1/);
    expect(wires.changesOf('LED_STATUS').at(-1)).toBe(1);
    await monitor.stop();
    await chip.release(holder);
  });

  it('lets a shell read inputs and drive outputs, too', async () => {
    for (const level of [1, 0] as const) {
      await wires.set('BARO_DRDY', level);
      await wires.set('ALS_INT', level === 1 ? 0 : 1);
      expect(await succeed('get', '--numeric', 'BARO_DRDY', 'ALS_INT')).toBe(level === 1 ? '1 0\n' : '0 1\n');
    }
    await succeed('set', 'LED_ERROR=1', 'BUZZER=1');
    await wires.waitForLevel('LED_ERROR', 1);
    await wires.waitForLevel('BUZZER', 1);
    expect(await info('LED_ERROR')).toMatchObject({ direction: 'out', level: 1 });
    await succeed('set', 'LED_ERROR=0', 'BUZZER=0');
    await wires.waitForLevel('LED_ERROR', 0);
    await wires.waitForLevel('BUZZER', 0);
    await succeed('release', 'LED_ERROR', 'BUZZER');
  });

  it('ends a burst with the level that the pin has, and goes on', async () => {
    const offset = offsetOf('TAMPER');
    await wires.set('TAMPER', 0);
    const monitor = await chip.monitor([offset]);
    const mon = await startMon('--json', 'TAMPER');
    const seqBefore = (await info('TAMPER')).edges;
    for (let edge = 0; edge < BURST_EDGES; edge += 1) await wires.set('TAMPER', edge % 2 === 0 ? 1 : 0);
    await expect.poll(async () => (await info('TAMPER')).level, { timeout: 60_000 }).toBe(1);
    // Both may have merged edges, which came faster than they were taken; the last one is never lost.
    await expect.poll(() => monitor.stdout.lines.at(-1), { timeout: 60_000 }).toBe(`1 ${offset}`);
    const told = monitor.stdout.lines.length;
    await wires.set('TAMPER', 0);
    await monitor.stdout.waitFor(new RegExp(`^0 ${offset}$`), { from: told });
    await monitor.stop();
    expect((await info('TAMPER')).level).toBe(0);
    mon.kill('SIGINT');
    await mon.exited;
    expect(mon.stderr.lines).toEqual([]);
    const edges = mon.stdout.lines.slice(1).map((line): LineEdge => JSON.parse(line));
    expect(edges.length).toBeGreaterThanOrEqual(2);
    expect(edges.length).toBeLessThanOrEqual(BURST_EDGES + 1);
    expect(edges.at(-1)).toMatchObject({ edge: 'falling', level: 0 });
    // Each of them tells a change: levels alternate, whatever was merged.
    expect(edges.map(({ level }) => level)).toEqual(edges.map((_, index) => (index % 2 === 0 ? 1 : 0)));
    expect((await info('TAMPER')).edges - seqBefore).toBe(edges.length);
  });

  it('leaves nothing to complain about in the guest, nor in the service', async () => {
    expect(await kernelComplaints(chip.guest)).toEqual([]);
    const { coprocessors, exports } = JSON.parse(await succeed('status', '--json')) as ServiceStatus;
    expect(coprocessors).toMatchObject([{ name: 'hub', state: 'running', restarts: 0 }]);
    expect(exports[0]?.counters).toMatchObject({ errors: 0, badChains: {} });
    expect(gateway.process.ended).toBeUndefined();
  });
});
