import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildFirmware } from './lab/firmware.ts';
import { LabProcess } from './lab/lab-process.ts';
import { PinsClient } from './lab/pins-client.ts';
import { Resources } from './lab/resources.ts';
import { ScratchFolder } from './lab/scratch-folder.ts';
import { UmlHostRoot } from './lab/uml-host-root.ts';

const VIRTIO_ID_RPMSG = 7;
const CONFIG = `
chips:
  hub:
    type: rpmsg
    control: /dev/rpmsg_ctrl0
    dialect: srtm
    lines:
      - { port: 0, pin: 0, name: IMU_INT }
      - { port: 0, pin: 5, name: BUTTON }
      - { port: 1, pin: 0, name: LED_STATUS }
control: { socket: /tmp/control.sock }
`;

// The whole way where the kernel owns the vrings: the firmware's library speaks SRTM, a Linux kernel's virtio_rpmsg_bus carries
// it, and the service, on that kernel, uses /dev/rpmsg*.
describe("the service on the kernel's rpmsg", () => {
  const resources = new Resources();
  let kernel: UmlHostRoot;
  let pins: PinsClient;
  let service: number;

  beforeAll(async () => {
    const folder = resources.add(new ScratchFolder());
    const [socketPath, pinsPath] = [folder.file('rpmsg.sock'), folder.file('pins.sock')];
    const hub = buildFirmware('vhost-user');
    const command: [string, ...string[]] = [
      hub,
      `--socket-path=${socketPath}`,
      `--pins=${pinsPath}`,
      '--dialect=srtm',
    ];
    const firmware = resources.add(new LabProcess({ name: 'vhost-user-sensor-hub', command }));
    pins = resources.add(await PinsClient.open(pinsPath, () => firmware.ended));
    kernel = resources.add(await UmlHostRoot.boot([{ socketPath, deviceId: VIRTIO_ID_RPMSG }]));
    await kernel.do('writeFile', { path: '/tmp/hub.yaml', text: CONFIG });
    await start();
  });
  afterAll(() => resources.close());

  async function start(): Promise<void> {
    service = await kernel.do('start', { command: ['bin/rproc-gpio', 'serve', '-c', '/tmp/hub.yaml'] });
    await kernel.outputOf(service).waitFor(/^ready/);
  }

  const cli = (command: string) =>
    kernel.do('run', { command: `RPROC_GPIO_SOCKET=/tmp/control.sock bin/rproc-gpio ${command}` });

  it('shows the chip', async () => {
    expect((await cli('detect')).stdout).toMatch(/^hub \[.*\] \(3 lines\)\n$/);
  });

  it('reads a pin', async () => {
    for (const [level, text] of [
      [1, 'active'],
      [0, 'inactive'],
    ] as const) {
      await pins.set('IMU_INT', level);
      expect((await cli('get IMU_INT')).stdout).toBe(`"IMU_INT"=${text}\n`);
    }
  });

  it('drives a pin', async () => {
    expect(await cli('set LED_STATUS=1')).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await pins.get('LED_STATUS')).toBe(1);
    expect(await cli('set LED_STATUS=0')).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await pins.get('LED_STATUS')).toBe(0);
  });

  it('tells edges of a pin', async () => {
    const monitor = await kernel.do('start', {
      command: ['bin/rproc-gpio', 'mon', '--socket=/tmp/control.sock', '-n', '2', 'BUTTON'],
    });
    await kernel.do('run', {
      command:
        'export RPROC_GPIO_SOCKET=/tmp/control.sock; until bin/rproc-gpio info BUTTON | grep -q "command line"; do :; done',
    });
    // Pulled up, it rests high.
    await pins.set('BUTTON', 0);
    await kernel.outputOf(monitor).waitForCount(1);
    await pins.set('BUTTON', 1);
    const lines = await kernel.outputOf(monitor).waitForCount(2);
    expect(lines.map((line) => line.split('\t').slice(1))).toEqual([
      ['falling', '"BUTTON"'],
      ['rising', '"BUTTON"'],
    ]);
  });

  it('uses again what a killed service left behind', async () => {
    const left = 'ls /dev | grep "^rpmsg[0-9]"';
    expect((await kernel.do('run', { command: `kill -9 ${service}; ${left}` })).stdout).toBe('rpmsg0\n');
    await kernel.do('stop', { pid: service });
    await start();
    await pins.set('IMU_INT', 1);
    expect((await cli('get IMU_INT')).stdout).toBe('"IMU_INT"=active\n');
    expect((await kernel.do('run', { command: left })).stdout).toBe('rpmsg0\n');
  });

  it('ends with nothing left behind', async () => {
    expect(await kernel.do('stop', { pid: service })).toEqual({ exitCode: 0, signal: null });
    const { stdout } = await kernel.do('run', { command: 'ls /dev | grep "^rpmsg[0-9]"' });
    expect(stdout).toBe('');
    const { stdout: log } = await kernel.do('run', { command: 'dmesg' });
    expect(log.split('\n').filter((line) => /WARNING:|BUG:|Oops/.test(line))).toEqual([]);
  });
});
