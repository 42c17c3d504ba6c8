import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  DIRECTION_IN,
  DIRECTION_NONE,
  DIRECTION_OUT,
  IRQ_BOTH,
  RESULT_BUSY,
  RESULT_OK,
  RESULT_UNAVAILABLE,
} from '../../src/gpio/chip.ts';
import {
  EVENT_VALID,
  MSG_GET_VALUE,
  MSG_SET_DIRECTION,
  MSG_SET_IRQ_TYPE,
  MSG_SET_VALUE,
  STATUS_ERR,
  STATUS_OK,
} from '../../src/wire/virtio-gpio.ts';
import type { Operation, SimBank, SimChip } from './lab/kernel-agent-protocol.ts';
import { UmlHostRoot } from './lab/uml-host-root.ts';

const SOC: SimBank = { label: 'soc-bank', lineCount: 8, lineNames: { 0: 'LED', 1: 'BUTTON', 5: 'RELAY' } };
const EXPANDER: SimBank = { label: 'expander', lineCount: 4, lineNames: { 3: 'LID' } };
const LED = 0;
const BUTTON = 1;
const RELAY = 5;
/** Edges that the kernel keeps for us (src/gpiochip/held-line.ts). */
const KEPT_EDGES = 256;

describe("a local gpiochip, with the kernel's gpio-sim behind it", () => {
  let kernel: UmlHostRoot;
  let soc: SimChip;
  let expander: SimChip;

  beforeAll(async () => {
    kernel = await UmlHostRoot.boot();
    [soc, expander] = (await kernel.do('createSim', { name: 'board', banks: [SOC, EXPANDER] })) as [
      SimChip,
      SimChip,
    ];
    await kernel.do('open', { name: 'soc', path: soc.path });
  });
  afterAll(() => kernel?.close());

  const operate = (operation: Operation, offset: number, value?: number) =>
    kernel.do('operate', { chip: 'soc', offset, operation, ...(value === undefined ? {} : { value }) });
  const level = (offset: number) => kernel.do('level', { chip: soc, offset });
  const pull = (offset: number, to: number) => kernel.do('pull', { chip: soc, offset, level: to });
  const run = (command: string) => kernel.do('run', { command });
  /** The line as gpioinfo shows it, its spaces joined. */
  const infoOf = async (offset: number) => {
    const { stdout } = await run(`gpioinfo ${soc.path}`);
    const line = stdout.split('\n').find((text) => text.startsWith(`\tline ${String(offset).padStart(3)}:`));
    return line?.trim().replace(/\s+/g, ' ');
  };

  it("has the kernel's labels and names", async () => {
    const opened = await kernel.do('open', { name: 'expander', path: expander.path });
    expect(opened).toEqual({ label: `expander on ${expander.path}`, lineNames: ['', '', '', 'LID'] });
    await kernel.do('close', { name: 'expander' });
  });

  it('takes no line by being opened, nor by being read', async () => {
    expect(await operate('getDirection', BUTTON)).toEqual({ result: RESULT_OK, value: DIRECTION_IN });
    await pull(BUTTON, 1);
    expect(await operate('getValue', BUTTON)).toEqual({ result: RESULT_OK, value: 1 });
    await pull(BUTTON, 0);
    expect(await operate('getValue', BUTTON)).toEqual({ result: RESULT_OK, value: 0 });
    expect(await infoOf(BUTTON)).toBe('line 1: "BUTTON" unused input active-high');
    expect((await kernel.do('counters', { chip: 'soc' })).heldLines).toBe(0);
  });

  it('drives outputs, and gives them back', async () => {
    expect(await operate('setValue', LED, 1)).toMatchObject({ result: RESULT_OK });
    expect(await level(LED)).toBe(0);
    expect(await operate('setDirection', LED, DIRECTION_OUT)).toMatchObject({ result: RESULT_OK });
    expect(await level(LED)).toBe(1);
    expect(await infoOf(LED)).toBe('line 0: "LED" "rproc-gpio" output active-high [used]');
    await operate('setValue', LED, 0);
    expect(await level(LED)).toBe(0);
    expect(await operate('getDirection', LED)).toEqual({ result: RESULT_OK, value: DIRECTION_OUT });
    expect(await operate('setDirection', LED, DIRECTION_NONE)).toMatchObject({ result: RESULT_OK });
    expect(await infoOf(LED)).toMatch(/^line 0: "LED" unused/);
  });

  it('makes an output that goes on with the level of the wire', async () => {
    await pull(RELAY, 1);
    expect(await operate('setDirection', RELAY, DIRECTION_OUT)).toMatchObject({ result: RESULT_OK });
    await pull(RELAY, 0);
    expect(await level(RELAY)).toBe(1);
    await operate('setDirection', RELAY, DIRECTION_IN);
    expect(await infoOf(RELAY)).toBe('line 5: "RELAY" "rproc-gpio" input active-high [used]');
    await operate('setDirection', RELAY, DIRECTION_NONE);
  });

  it("tells edges both ways, in order, at the kernel's time", async () => {
    const from = kernel.edges.length;
    await kernel.do('watch', { chip: 'soc', offset: BUTTON, on: true });
    expect(await infoOf(BUTTON)).toBe('line 1: "BUTTON" "rproc-gpio" input active-high [used]');
    const times = [BigInt(await kernel.do('clock', {}))];
    for (const [index, to] of [1, 0, 1, 0].entries()) {
      await pull(BUTTON, to);
      await kernel.edgesFrom(from, index + 1);
      times.push(BigInt(await kernel.do('clock', {})));
    }
    const edges = kernel.edges.slice(from);
    expect(edges.map(({ offset, level, merged }) => [offset, level, merged])).toEqual([
      [BUTTON, 1, false],
      [BUTTON, 0, false],
      [BUTTON, 1, false],
      [BUTTON, 0, false],
    ]);
    // CLOCK_MONOTONIC: each between the moments before and after.
    for (const [index, { timestampNs }] of edges.entries()) {
      expect(BigInt(timestampNs)).toBeGreaterThan(times[index]!);
      expect(BigInt(timestampNs)).toBeLessThan(times[index + 1]!);
    }
    expect(await operate('getValue', BUTTON)).toEqual({ result: RESULT_OK, value: 0 });
  });

  it('loses nothing of a burst that the kernel keeps', async () => {
    const from = kernel.edges.length;
    const lastSeq = kernel.edges.at(-1)?.seq ?? 0;
    await kernel.do('burst', { chip: soc, offset: BUTTON, count: KEPT_EDGES });
    const edges = await kernel.edgesFrom(from, KEPT_EDGES);
    expect(edges.map(({ level }) => level)).toEqual(edges.map((_, index) => (index % 2 === 0 ? 1 : 0)));
    expect(edges.map(({ seq }) => seq)).toEqual(edges.map((_, index) => lastSeq + 1 + index));
    expect(edges.some(({ merged }) => merged)).toBe(false);
    const times = edges.map(({ timestampNs }) => BigInt(timestampNs));
    expect(times.every((time, index) => index === 0 || time > times[index - 1]!)).toBe(true);
    expect((await kernel.do('counters', { chip: 'soc' })).droppedEvents).toBe(0);
  });

  it('shows what the kernel could not keep of a longer one as a gap, and ends with the right level', async () => {
    const from = kernel.edges.length;
    const lastSeq = kernel.edges.at(-1)?.seq ?? 0;
    const count = KEPT_EDGES + 45;
    await kernel.do('burst', { chip: soc, offset: BUTTON, count });
    // The level before was 0, and the last one kept before the gap told that: the first one after it leads to 0 again, and
    // stands for two edges.
    const edges = await kernel.edgesFrom(from, KEPT_EDGES + 1);
    expect(edges.at(-1)).toMatchObject({ level: 1, seq: lastSeq + count });
    expect(edges.slice(0, 3).map(({ level, merged, seq }) => [level, merged, seq - lastSeq])).toEqual([
      [1, true, 46],
      [0, true, 46],
      [1, false, 47],
    ]);
    expect((await kernel.do('counters', { chip: 'soc' })).droppedEvents).toBe(45);
    expect(await operate('getValue', BUTTON)).toEqual({ result: RESULT_OK, value: 1 });
  });

  it('tells no edge once nobody watches, and gives the line back', async () => {
    await kernel.do('watch', { chip: 'soc', offset: BUTTON, on: false });
    const { length } = kernel.edges;
    await pull(BUTTON, 0);
    await pull(BUTTON, 1);
    expect(await infoOf(BUTTON)).toBe('line 1: "BUTTON" unused input active-high');
    await kernel.do('watch', { chip: 'soc', offset: BUTTON, on: true });
    await pull(BUTTON, 0);
    expect(await kernel.edgesFrom(length, 1)).toMatchObject([{ level: 0 }]);
    await kernel.do('watch', { chip: 'soc', offset: BUTTON, on: false });
  });

  it('is refused a line that another program uses, and says which', async () => {
    const pid = await kernel.do('start', { command: ['gpioset', '--mode=signal', soc.path, `${RELAY}=1`] });
    // It says nothing by itself.
    await run(`until gpioinfo ${soc.path} | grep -q '"gpioset"'; do sleep 0.02; done`);
    await operate('setValue', RELAY, 1);
    expect(await operate('setDirection', RELAY, DIRECTION_IN)).toMatchObject({ result: RESULT_BUSY });
    expect(await kernel.news.waitFor(/"kind":"log".*RELAY/)).toContain(
      `soc/RELAY (line 5 of ${soc.path}): take the line: resource busy or locked (EBUSY): it is in use by \\"gpioset\\"`,
    );
    await kernel.do('stop', { pid });
    await run(`while gpioinfo ${soc.path} | grep -q '"gpioset"'; do sleep 0.02; done`);
    expect(await operate('setDirection', RELAY, DIRECTION_IN)).toMatchObject({ result: RESULT_OK });
    await operate('setDirection', RELAY, DIRECTION_NONE);
  });

  it('keeps other programs off a line in use, and off no other', async () => {
    await operate('setDirection', RELAY, DIRECTION_IN);
    expect(await run(`gpioget ${soc.path} ${RELAY}`)).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('busy'),
    });
    expect(await run(`gpioget ${soc.path} ${LED}`)).toMatchObject({ exitCode: 0 });
    await operate('setDirection', RELAY, DIRECTION_NONE);
    expect(await run(`gpioget ${soc.path} ${RELAY}`)).toMatchObject({ exitCode: 0 });
  });

  it.each([
    ['no permission', '/dev/gpiochip0', 'ERR_PERMISSION', 'usermod -aG gpio'],
    ['another device', '/dev/null', 'ERR_NOT_GPIOCHIP', 'of the subsystem mem, not a GPIO chip'],
  ])('opened with %s says what to do', async (_what, path, code, text) => {
    const script = `import('./src/gpiochip/gpiochip.ts')
      .then(({ GpiochipChip }) => GpiochipChip.open({ name: 'x', path: '${path}' }))
      .catch(({ code, message }) => console.log(code + ': ' + message))`;
    await kernel.do('writeFile', { path: '/tmp/open.txt', text: script });
    const { stdout, stderr } = await run(
      `setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all "${process.execPath}" --import tsx --eval "$(cat /tmp/open.txt)"`,
    );
    expect(`${stdout}${stderr}`).toContain(`${code}: ${path}`);
    expect(stdout).toContain(text);
  });

  it('is unavailable once it is unplugged, with its lines in use, and nothing is left open', async () => {
    const [usb] = await kernel.do('createSim', { name: 'usb', banks: [{ ...SOC, label: 'usb' }] });
    await kernel.do('open', { name: 'usb', path: usb!.path });
    await kernel.do('watch', { chip: 'usb', offset: BUTTON, on: true });
    const operateUsb = (operation: Operation, value: number) =>
      kernel.do('operate', { chip: 'usb', offset: LED, operation, value });
    await operateUsb('setValue', 1);
    await operateUsb('setDirection', DIRECTION_OUT);
    await kernel.do('removeSim', { name: 'usb' });
    expect(JSON.parse(await kernel.news.waitFor(/"kind":"availability"/))).toEqual({
      kind: 'availability',
      chip: 'usb',
      available: false,
      reason: `the kernel has removed ${usb!.path}`,
    });
    expect(await operateUsb('setDirection', DIRECTION_NONE)).toMatchObject({ result: RESULT_UNAVAILABLE });
    expect((await kernel.do('counters', { chip: 'usb' })).heldLines).toBe(0);
    // The chip that is still there.
    const { stdout } = await run('ls -l /proc/[0-9]*/fd 2>/dev/null | grep gpio');
    expect(stdout.trim().split('\n')).toEqual([expect.stringContaining(soc.path)]);
    await kernel.do('close', { name: 'usb' });
    expect(await operate('getDirection', LED)).toMatchObject({ result: RESULT_OK });
  });

  it('leaves nothing to complain about in the kernel', async () => {
    const { stdout } = await run('dmesg');
    expect(stdout.split('\n').filter((line) => /WARNING:|BUG:|Oops/.test(line))).toEqual([]);
  });
});

describe('the service with a local chip and a simulated one', () => {
  const CONFIG = (path: string) => `
chips:
  soc: { type: gpiochip, path: ${path} }
  sim: { type: sim, lines: 2 }
exports:
  vm1: { socket: /tmp/vm1.sock, lines: [soc/BUTTON, sim/sim0, soc/LED, sim/sim1] }
control: { socket: /tmp/control.sock }
`;
  /** The exported device's lines. */
  const [DEVICE_BUTTON, DEVICE_SIM0, DEVICE_LED, DEVICE_SIM1] = [0, 1, 2, 3] as const;
  let kernel: UmlHostRoot;
  let soc: SimChip;
  let service: number;

  const cli = (command: string) =>
    kernel.do('run', { command: `RPROC_GPIO_SOCKET=/tmp/control.sock bin/rproc-gpio ${command}` });
  const request = (type: number, line: number, value = 0) =>
    kernel.do('guestRequest', { guest: 'vm1', type, line, value });

  beforeAll(async () => {
    kernel = await UmlHostRoot.boot();
    [soc] = (await kernel.do('createSim', { name: 'board', banks: [SOC] })) as [SimChip];
    await kernel.do('writeFile', { path: '/tmp/soc.yaml', text: CONFIG(soc.path) });
    service = await kernel.do('start', { command: ['bin/rproc-gpio', 'serve', '-c', '/tmp/soc.yaml'] });
    await kernel.outputOf(service).waitFor(/^ready/);
  });
  afterAll(() => kernel?.close());

  it('shows both to people, and the lines of both as one device to a guest', async () => {
    expect((await cli('detect')).stdout).toBe(
      `soc [soc-bank on ${soc.path}] (8 lines)\nsim [simulated] (2 lines)\n`,
    );
    expect(await kernel.do('connectGuest', { guest: 'vm1', socketPath: '/tmp/vm1.sock' })).toEqual({
      lineNames: ['BUTTON', 'sim0', 'LED', 'sim1'],
    });
  });

  it('drives a line of each for the guest, and says to others who does', async () => {
    for (const line of [DEVICE_LED, DEVICE_SIM0]) {
      expect(await request(MSG_SET_VALUE, line, 1)).toMatchObject({ status: STATUS_OK, value: 0 });
      expect(await request(MSG_SET_DIRECTION, line, DIRECTION_OUT)).toMatchObject({
        status: STATUS_OK,
        value: 0,
      });
    }
    expect(await kernel.do('level', { chip: soc, offset: LED })).toBe(1);
    expect(await request(MSG_GET_VALUE, DEVICE_SIM1)).toMatchObject({ status: STATUS_OK, value: 1 });
    expect((await cli('get LED')).stdout).toBe('"LED"=active\n');
    expect(await cli('set LED=0')).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining('busy: owned by guest vm1'),
    });
    expect(await kernel.do('level', { chip: soc, offset: LED })).toBe(1);
  });

  it('tells an edge to the guest and to a shell', async () => {
    expect(await request(MSG_SET_IRQ_TYPE, DEVICE_BUTTON, IRQ_BOTH)).toMatchObject({ status: STATUS_OK });
    await kernel.do('guestUnmask', { guest: 'vm1', line: DEVICE_BUTTON });
    const monitor = await kernel.do('start', {
      command: ['bin/rproc-gpio', 'mon', '--socket=/tmp/control.sock', '-n', '2', 'BUTTON'],
    });
    const watched = 'until bin/rproc-gpio info BUTTON | grep -q "command line"; do :; done';
    await kernel.do('run', { command: `export RPROC_GPIO_SOCKET=/tmp/control.sock; ${watched}` });
    const before = Number(await kernel.do('clock', {})) / 1e9;
    await kernel.do('pull', { chip: soc, offset: BUTTON, level: 1 });
    expect(JSON.parse(await kernel.news.waitFor(/"kind":"interrupt"/))).toMatchObject({
      line: DEVICE_BUTTON,
      status: EVENT_VALID,
    });
    await kernel.do('pull', { chip: soc, offset: BUTTON, level: 0 });
    const lines = await kernel.outputOf(monitor).waitForCount(2);
    const edges = lines.map((text) => text.split('\t'));
    expect(edges.map(([, edge, name]) => [edge, name])).toEqual([
      ['rising', '"BUTTON"'],
      ['falling', '"BUTTON"'],
    ]);
    expect(Number(edges[0]?.[0])).toBeGreaterThan(before);
  });

  it('lets a shell drive what no guest drives, until it releases it', async () => {
    expect(await cli('set RELAY=1')).toMatchObject({ exitCode: 0, stderr: '' });
    expect(await kernel.do('level', { chip: soc, offset: RELAY })).toBe(1);
    expect(await cli('release RELAY')).toMatchObject({ exitCode: 0 });
  });

  it('goes on with the other chip when this one is unplugged', async () => {
    await kernel.do('removeSim', { name: 'board' });
    await kernel
      .outputOf(service)
      .waitFor(/chip soc is unavailable: the kernel has removed \/dev\/gpiochip0/);
    expect(await request(MSG_SET_VALUE, DEVICE_LED, 0)).toMatchObject({ status: STATUS_ERR });
    expect(await request(MSG_SET_VALUE, DEVICE_SIM0, 0)).toMatchObject({ status: STATUS_OK });
    expect(await request(MSG_GET_VALUE, DEVICE_SIM1)).toMatchObject({ status: STATUS_OK, value: 0 });
    expect(await kernel.do('stop', { pid: service })).toEqual({ exitCode: 0, signal: null });
  });
});

describe('the service of a user that is not root, with no capability, and a chip that the udev rule gives its group', () => {
  /** As examples/60-rproc-gpio.rules: GROUP and MODE of the node. */
  const [USER, GROUP, MODE] = [61_234, 61_300, '0660'] as const;
  const FOLDER = '/tmp/unprivileged';
  let kernel: UmlHostRoot;
  let soc: SimChip;

  const CONFIG = (path: string) => `
chips: { soc: { type: gpiochip, path: ${path} } }
exports: { vm1: { socket: ${FOLDER}/vm1.sock, lines: ['soc/BUTTON', 'soc/LED'] } }
control: { socket: ${FOLDER}/control.sock }
`;
  const command = (groups: string, ...of: readonly string[]) => [
    'setpriv',
    `--reuid=${USER}`,
    `--regid=${USER}`,
    groups,
    '--bounding-set=-all',
    '--inh-caps=-all',
    '--no-new-privs',
    ...of,
  ];
  const SERVE = ['bin/rproc-gpio', 'serve', '-c', `${FOLDER}.yaml`] as const;

  beforeAll(async () => {
    kernel = await UmlHostRoot.boot();
    [soc] = (await kernel.do('createSim', { name: 'board', banks: [SOC] })) as [SimChip];
    await kernel.do('writeFile', { path: `${FOLDER}.yaml`, text: CONFIG(soc.path) });
    await kernel.do('run', {
      command: `mkdir -m 0700 ${FOLDER} && chown ${USER} ${FOLDER} && chmod 0600 ${soc.path}`,
    });
  });
  afterAll(() => kernel?.close());

  it('is told which permission is missing', async () => {
    const { stderr, exitCode } = await kernel.do('run', {
      command: command('--clear-groups', ...SERVE).join(' '),
    });
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/gpiochip\d.*(permission|EACCES)/i);
  });

  it('drives, reads and hears the lines for a guest once the node is its group’s', async () => {
    await kernel.do('run', { command: `chgrp ${GROUP} ${soc.path} && chmod ${MODE} ${soc.path}` });
    const service = await kernel.do('start', { command: command(`--groups=${GROUP}`, ...SERVE) });
    await kernel.outputOf(service).waitFor(/^ready/);
    const { stdout } = await kernel.do('run', {
      command: `grep -E 'Uid|CapEff' /proc/${service}/status`,
    });
    expect(stdout).toMatch(new RegExp(`Uid:\\s+${USER}\\s+${USER}`));
    expect(stdout).toMatch(/CapEff:\s+0+$/m);
    await kernel.do('connectGuest', { guest: 'vm1', socketPath: `${FOLDER}/vm1.sock` });
    const request = (type: number, line: number, value = 0) =>
      kernel.do('guestRequest', { guest: 'vm1', type, line, value });
    expect(await request(MSG_SET_VALUE, 1, 1)).toMatchObject({ status: STATUS_OK });
    expect(await request(MSG_SET_DIRECTION, 1, DIRECTION_OUT)).toMatchObject({ status: STATUS_OK });
    expect(await kernel.do('level', { chip: soc, offset: LED })).toBe(1);
    expect(await request(MSG_SET_IRQ_TYPE, 0, IRQ_BOTH)).toMatchObject({ status: STATUS_OK });
    await kernel.do('guestUnmask', { guest: 'vm1', line: 0 });
    await kernel.do('pull', { chip: soc, offset: BUTTON, level: 1 });
    expect(JSON.parse(await kernel.news.waitFor(/"kind":"interrupt"/))).toMatchObject({
      status: EVENT_VALID,
    });
    expect(await kernel.do('stop', { pid: service })).toEqual({ exitCode: 0, signal: null });
  });
});
