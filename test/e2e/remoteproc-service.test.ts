import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DEBUGFS, firmware, MEMORY_DEVICE_ADDRESS, TABLE_ADDRESS } from './lab/test-hub.ts';
import { UmlHostRoot } from './lab/uml-host-root.ts';

const VIRTIO_ID_GPIO = 41;
const STATE = '/sys/class/remoteproc/remoteproc0/state';
const CONFIG = `
coprocessors:
  hub:
    remoteproc: { name: test-hub, firmware: ours.elf, start: true, stopOnExit: true, recovery: true }
    memory: [{ type: uio, device: /dev/uio0, deviceAddress: ${MEMORY_DEVICE_ADDRESS} }]
    doorbell: { type: uio, device: /dev/uio0, map: 1, offset: 0 }
    resourceTable: { deviceAddress: ${TABLE_ADDRESS} }
chips:
  sim: { type: sim, lines: 2 }
control: { socket: /tmp/control.sock }
`;

const [USER, GROUP] = [61_234, 61_300] as const;
/** What examples/60-rproc-gpio.rules lets udev do with a remote processor that is added. */
const RULES = readFileSync(new URL('../../examples/60-rproc-gpio.rules', import.meta.url), 'utf8');
const ATTRIBUTES = /^SUBSYSTEM=="remoteproc".*RUN\+="\/bin\/sh -c '(.*)'"$/m.exec(RULES)?.[1] as string;
const NODES = /^SUBSYSTEM=="uio".*GROUP="rproc-gpio", MODE="(\d+)"$/m.exec(RULES)?.[1] as string;
const UNPRIVILEGED = [
  'setpriv',
  `--reuid=${USER}`,
  `--regid=${USER}`,
  `--groups=${GROUP}`,
  '--bounding-set=-all',
  '--inh-caps=-all',
  '--no-new-privs',
] as const;

// As a board has it: the kernel loads and starts the firmware when the service says so, and the service is its only user.
describe.each([
  ['root', []],
  ['a user without any capability, by the udev rules', UNPRIVILEGED],
] as const)("the service with a co-processor that the kernel's remoteproc runs, as %s", (_user, as) => {
  let kernel: UmlHostRoot;
  let service: number;

  beforeAll(async () => {
    kernel = await UmlHostRoot.boot();
    await kernel.do('writeBytes', { path: '/tmp/fw/ours.elf', base64: firmware(VIRTIO_ID_GPIO, false) });
    await kernel.do('run', { command: 'printf /tmp/fw > /sys/module/firmware_class/parameters/path' });
    await kernel.do('writeFile', { path: '/tmp/hub.yaml', text: CONFIG });
    if (as.length > 0) {
      const rule = ATTRIBUTES.replace('%p', '/class/remoteproc/remoteproc0').replaceAll(
        'rproc-gpio',
        String(GROUP),
      );
      await kernel.do('run', { command: `chgrp ${GROUP} /dev/uio0 && chmod ${NODES} /dev/uio0 && ${rule}` });
    }
    const command = [...as, 'bin/rproc-gpio', 'serve', '-c', '/tmp/hub.yaml'];
    service = await kernel.do('start', { command });
    await kernel.outputOf(service).waitFor(/^ready/);
  });
  afterAll(() => kernel?.close());

  const run = async (command: string) => (await kernel.do('run', { command })).stdout.trimEnd();
  const cli = (command: string) => run(`RPROC_GPIO_SOCKET=/tmp/control.sock bin/rproc-gpio ${command} 2>&1`);
  const hub = async () => JSON.parse(await cli('status --json')).coprocessors[0];

  it('starts it, and shows its state', async () => {
    expect(await run(`cat ${STATE}`)).toBe('running');
    expect(await hub()).toMatchObject({ name: 'hub', state: 'running', restarts: 0, remoteproc: 'running' });
    expect(kernel.outputOf(service).text).toMatch(/remoteproc0 \(test-hub\) is running, was offline/);
  });

  it('takes it up again when the kernel has recovered it from a crash', async () => {
    await run(`echo 1 > ${DEBUGFS}/crash`);
    await kernel.outputOf(service).waitFor(/remoteproc0 \(test-hub\) is crashed, was running/);
    await run(
      'until RPROC_GPIO_SOCKET=/tmp/control.sock bin/rproc-gpio status --json | grep -q \'"restarts":1\'; do :; done',
    );
    expect(await hub()).toMatchObject({ state: 'running', restarts: 1, remoteproc: 'running' });
  });

  it('stops, starts and restarts it by command', async () => {
    expect(await cli('coprocessor stop hub')).toBe('hub stopped');
    expect(await run(`cat ${STATE}`)).toBe('offline');
    expect(await hub()).toMatchObject({ state: 'stopped', remoteproc: 'offline' });
    expect(await cli('coprocessor start hub')).toBe('hub running');
    expect(await run(`cat ${STATE}`)).toBe('running');
    const starts = Number(await run(`cat ${DEBUGFS}/starts`));
    expect(await cli('coprocessor restart hub')).toBe('hub running');
    expect(Number(await run(`cat ${DEBUGFS}/starts`))).toBe(starts + 1);
  });

  it('stops it when the service ends', async () => {
    expect(await kernel.do('stop', { pid: service })).toEqual({ exitCode: 0, signal: null });
    expect(await run(`cat ${STATE}`)).toBe('offline');
  });

  it('is refused a remoteproc that is not there, with those that are', async () => {
    await run("sed 's/name: test-hub/name: cm7/' /tmp/hub.yaml > /tmp/cm7.yaml");
    expect(await run('bin/rproc-gpio serve -c /tmp/cm7.yaml 2>&1')).toContain(
      'no remoteproc "cm7": /sys/class/remoteproc has remoteproc0 (test-hub), remoteproc1 (test-early)',
    );
  });
});
