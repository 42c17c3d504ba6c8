import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RemoteprocOptions } from '../../src/coprocessor/remoteproc-lifecycle.ts';
import type { RemoteprocNews } from './lab/kernel-agent-protocol.ts';
import {
  DEBUGFS,
  firmware,
  MEMORY_DEVICE_ADDRESS,
  NOTIFY_ID,
  statusOffset,
  TABLE_ADDRESS,
} from './lab/test-hub.ts';
import { UmlHostRoot } from './lab/uml-host-root.ts';

const VIRTIO_ID_RPMSG = 7;
const VIRTIO_ID_GPIO = 41;
const SYSFS = '/sys/class/remoteproc';
const FIRMWARE_PATH = '/sys/module/firmware_class/parameters/path';
const STATUS_OFFSET = statusOffset(2);
/** ACKNOWLEDGE, DRIVER and DRIVER_OK. */
const LIVE = 7;
/** Of the kick register in the doorbell's page. */
const KICK_OFFSET = 8;

// A real kernel's remoteproc and UIO, with a co-processor of ours behind them (kernel/coprocessor_test.c).
describe("the kernel's remoteproc", () => {
  let kernel: UmlHostRoot;

  beforeAll(async () => {
    kernel = await UmlHostRoot.boot();
    await kernel.do('writeBytes', { path: '/tmp/fw/ours.elf', base64: firmware(VIRTIO_ID_GPIO, false) });
    await kernel.do('writeBytes', { path: '/tmp/fw/kernels.elf', base64: firmware(VIRTIO_ID_RPMSG, true) });
    await run(`printf /tmp/fw > ${FIRMWARE_PATH}`);
  });
  afterAll(() => kernel?.close());

  /** @throws Error when it fails, with the end of the kernel's log */
  async function run(command: string): Promise<string> {
    const { exitCode, stdout, stderr } = await kernel.do('run', { command });
    if (exitCode === 0) return stdout.trimEnd();
    const { stdout: log } = await kernel.do('run', { command: 'dmesg | tail -n 20' });
    throw new Error(`${command} ended with ${exitCode}: ${stdout}${stderr}\n${log}`);
  }

  const trigger = (file: string) => run(`echo 1 > ${DEBUGFS}/${file}`);
  const stateOf = (entry: string) => run(`cat ${SYSFS}/${entry}/state`);
  const open = (options: RemoteprocOptions) => kernel.do('openRemoteproc', { options });
  const act = (name: string, action: 'up' | 'start' | 'stop' | 'restart' | 'close') =>
    kernel.do('remoteproc', { name, action });

  /** The states told of one since `from`, an index into the agent's news, once there are `count`. */
  async function states(name: string, from: number, count: number): Promise<readonly string[]> {
    const told = (): string[] =>
      kernel.news.lines
        .slice(from)
        .map((line) => JSON.parse(line) as RemoteprocNews)
        .filter((news) => news.kind === 'remoteproc' && news.name === name)
        .map(({ state }) => state);
    for (let next = from; told().length < count; next = kernel.news.lines.length) {
      await kernel.news.waitFor(/"kind":"remoteproc"/, { from: next });
    }
    return told();
  }
  const now = (): number => kernel.news.lines.length;

  it('is found by its entry and by its name; another one is told which there are', async () => {
    expect(await open({ name: 'remoteproc1' })).toBe('detached');
    await act('remoteproc1', 'close');
    await expect(open({ name: 'cm7' })).rejects.toMatchObject({
      code: 'ERR_REMOTEPROC',
      message: expect.stringContaining('has remoteproc0 (test-hub), remoteproc1 (test-early)'),
    });
  });

  it('says where the kernel looks for firmware that it does not find', async () => {
    await open({ name: 'test-hub', start: true, firmware: 'nothing.elf' });
    await expect(act('test-hub', 'up')).rejects.toMatchObject({
      code: 'ERR_REMOTEPROC',
      message: expect.stringContaining(
        'did not find the firmware "nothing.elf": looked in /tmp/fw, /lib/firmware/updates/',
      ),
    });
    await act('test-hub', 'close');
  });

  it('starts with the firmware that is configured, and stops', async () => {
    const from = now();
    await open({ name: 'test-hub', start: true, stopOnExit: true, firmware: 'ours.elf', recovery: true });
    expect(await act('test-hub', 'up')).toBe('running');
    expect(await stateOf('remoteproc0')).toBe('running');
    expect(await run(`cat ${SYSFS}/remoteproc0/firmware`)).toBe('ours.elf');
    expect(await act('test-hub', 'stop')).toBe('offline');
    expect(await act('test-hub', 'start')).toBe('running');
    expect(await act('test-hub', 'restart')).toBe('running');
    expect(await states('test-hub', from, 5)).toEqual([
      'running',
      'offline',
      'running',
      'offline',
      'running',
    ]);
  });

  it('is seen to crash and to recover, though nobody looked in between', async () => {
    const starts = Number(await run(`cat ${DEBUGFS}/starts`));
    const from = now();
    await trigger('crash');
    expect(await states('test-hub', from, 3)).toEqual(['crashed', 'offline', 'running']);
    expect(Number(await run(`cat ${DEBUGFS}/starts`))).toBe(starts + 1);
  });

  it('stays crashed without recovery, until it is started', async () => {
    await run(`echo disabled > ${SYSFS}/remoteproc0/recovery`);
    const from = now();
    await trigger('crash');
    expect(await states('test-hub', from, 1)).toEqual(['crashed']);
    expect(await stateOf('remoteproc0')).toBe('crashed');
    expect(await act('test-hub', 'start')).toBe('running');
    await run(`echo enabled > ${SYSFS}/remoteproc0/recovery`);
  });

  it('is seen to be stopped and started by others', async () => {
    const from = now();
    await run(`echo stop > ${SYSFS}/remoteproc0/state`);
    await run(`echo start > ${SYSFS}/remoteproc0/state`);
    expect(await states('test-hub', from, 2)).toEqual(['offline', 'running']);
  });

  it('says when another start keeps it up', async () => {
    await run(`echo start > ${SYSFS}/remoteproc0/state`);
    await expect(act('test-hub', 'stop')).rejects.toMatchObject({
      message: expect.stringContaining('still running after stop: it was started more than once'),
    });
  });

  it('is stopped when the service ends, where that is configured', async () => {
    await act('test-hub', 'close');
    expect(await stateOf('remoteproc0')).toBe('offline');
  });

  it('that runs by itself is attached to, watched, and detached from', async () => {
    const from = now();
    await open({ name: 'test-early', start: true, stopOnExit: true });
    expect(await act('test-early', 'up')).toBe('attached');
    await trigger('crash-early');
    expect(await states('test-early', from, 4)).toEqual(['attached', 'crashed', 'detached', 'attached']);
    await act('test-early', 'close');
    expect(await stateOf('remoteproc1')).toBe('detached');
  });

  it('refused for want of permission says what to do', async () => {
    const script = `import('./src/coprocessor/remoteproc-lifecycle.ts').then(async ({ RemoteprocLifecycle }) => {
      const log = (level, text) => console.log(level + ': ' + text);
      const lifecycle = RemoteprocLifecycle.open({ name: 'test-hub', start: true }, log);
      await lifecycle.up().catch(({ code, message }) => console.log(code + ': ' + message));
      await lifecycle.close();
    })`;
    await kernel.do('writeFile', { path: '/tmp/start.txt', text: script });
    await run('echo 1 > /proc/sys/kernel/dmesg_restrict');
    const output = await run(
      `setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all "${process.execPath}" --import tsx --eval "$(cat /tmp/start.txt)"`,
    );
    await run('echo 0 > /proc/sys/kernel/dmesg_restrict');
    expect(output).toContain(`ERR_REMOTEPROC: ${SYSFS}/remoteproc0/state: permission denied (EACCES)`);
    expect(output).toMatch(
      /^info: remoteproc0 \(test-hub\): the kernel's log cannot be followed .*CAP_SYSLOG/m,
    );
  });

  describe('with its memory and its interrupt as /dev/uio0', () => {
    const options = {
      name: 'hub',
      memory: [{ type: 'uio', device: '/dev/uio0', deviceAddress: MEMORY_DEVICE_ADDRESS }],
      doorbell: { type: 'uio', device: 'uio0', map: 1, offset: KICK_OFFSET, encoding: 'id-shifted-16' },
      resourceTable: { deviceAddress: TABLE_ADDRESS },
    } as const;
    const at = (file: string, offset: number, format: string) =>
      run(`od -A n -t ${format} -j ${offset} -N ${format.slice(-1)} ${DEBUGFS}/${file}`).then((text) =>
        Number(text),
      );

    it('is bound through both', async () => {
      await open({ name: 'test-hub', start: true, stopOnExit: true, firmware: 'ours.elf' });
      await act('test-hub', 'up');
      await kernel.do('openCoprocessor', { options });
      await kernel.do('bindVdev', { name: 'hub', index: 0, id: VIRTIO_ID_GPIO });
      // What the co-processor sees of it.
      expect(await at('memory', STATUS_OFFSET, 'u1')).toBe(LIVE);
      await kernel.do('kickVdev', { name: 'hub', queue: 1 });
      expect(await at('doorbell', KICK_OFFSET, 'u4')).toBe(NOTIFY_ID.VRING1 << 16);
      await kernel.do('kickVdev', { name: 'hub', queue: 0 });
      expect(await at('doorbell', KICK_OFFSET, 'u4')).toBe(NOTIFY_ID.VRING0 << 16);
    });

    it('calls by the interrupt, as often as it likes', async () => {
      for (let count = 1; count <= 3; count++) {
        await trigger('interrupt');
        await kernel.news.waitFor(new RegExp(`"kind":"call","name":"hub","count":${count}}`));
      }
    });

    it('is left with the status 0', async () => {
      await kernel.do('closeCoprocessor', { name: 'hub' });
      expect(await at('memory', STATUS_OFFSET, 'u1')).toBe(0);
      // Rung while nobody had it open: the next one hears of it or of the one after, and is not stuck.
      await trigger('interrupt');
      await kernel.do('openCoprocessor', { options: { ...options, name: 'again' } });
      await kernel.do('bindVdev', { name: 'again', index: 0, id: VIRTIO_ID_GPIO });
      await trigger('interrupt');
      await kernel.news.waitFor(/"kind":"call","name":"again"/);
      await kernel.do('closeCoprocessor', { name: 'again' });
      await act('test-hub', 'close');
    });

    it("is refused a vdev that the kernel has bound, with the way out, and finds the kernel's rpmsg instead", async () => {
      await open({ name: 'test-hub', start: true, stopOnExit: true, firmware: 'kernels.elf' });
      await kernel.do('openRpmsg', { options: { name: 'rpmsg' } });
      await act('test-hub', 'up');
      expect(await run('cat /sys/bus/virtio/devices/virtio0/device')).toBe('0x0007');
      await kernel.do('openCoprocessor', { options });
      await expect(
        kernel.do('bindVdev', { name: 'hub', index: 0, id: VIRTIO_ID_RPMSG }),
      ).rejects.toMatchObject({
        code: 'ERR_VDEV',
        message: expect.stringMatching(
          /the kernel's: it shows as .*\/remoteproc0\/.*\/virtio0\. To keep the kernel off it, place .* outside the section \.resource_table/,
        ),
      });
      await kernel.do('closeCoprocessor', { name: 'hub' });
      await act('test-hub', 'stop');
      expect(await kernel.news.waitFor(/"kind":"rpmsgLost"/)).toContain(
        'the kernel has removed /dev/rpmsg_ctrl0',
      );
      await kernel.do('closeRpmsg', { name: 'rpmsg' });
      await act('test-hub', 'close');
    });
  });

  it('is told to be gone when it is unplugged', async () => {
    await open({ name: 'test-hub', start: true });
    await act('test-hub', 'up');
    const from = now();
    await trigger('unplug');
    expect((await states('test-hub', from, 1)).at(-1)).toBe('deleted');
    await expect(act('test-hub', 'start')).rejects.toMatchObject({
      message: expect.stringContaining('the kernel has removed it'),
    });
    await act('test-hub', 'close');
  });

  it('leaves nothing to complain about in the kernel', async () => {
    expect((await run('dmesg')).split('\n').filter((line) => /WARNING:|BUG:|Oops/.test(line))).toEqual([]);
  });
});
