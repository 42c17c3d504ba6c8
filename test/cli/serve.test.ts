import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { HOST_FIRMWARE } from '../../src/daemon/demo-config.ts';
import { VhostUserFrontEnd } from '../../src/testing/front-end.ts';
import { encodeResourceTable, type MemoryEntry, type VdevEntry } from '../../src/wire/resource-table.ts';
import { MSG_GET_VALUE, MSG_SET_DIRECTION, MSG_SET_VALUE } from '../../src/wire/virtio-gpio.ts';
import { CommandProcess, isAlive, run, scratchFolder } from './command-process.ts';

const SIM = 'chips:\n  sim: { type: sim, lines: 4 }\n';

/** A co-processor of the host-built firmware, or of another program. */
function hub(command: readonly string[], more = ''): string {
  return `coprocessors:
  hub:
    memory: [{ type: memfd, sizeBytes: 256KiB, deviceAddress: 0x20000000 }]
    resourceTable: { deviceAddress: 0x20000000 }
    doorbell: { type: eventfd }
    exec: { command: ${JSON.stringify(command)} }
${more}`;
}

/** A folder with a configuration file `rproc-gpio.yaml`. */
function folderWith(config: string): string {
  const folder = scratchFolder();
  writeFileSync(join(folder, 'rproc-gpio.yaml'), config);
  return folder;
}

async function guestOf(socketPath: string): Promise<VhostUserFrontEnd> {
  const guest = await VhostUserFrontEnd.connect({ socketPath, timeoutMs: 10_000 });
  onTestFinished(() => guest.close());
  return guest;
}

describe('serve', () => {
  it('serves what the file says, prints ready once guests can connect, then the level changes', async () => {
    const cwd = folderWith(`${SIM}  aux: { type: sim, lines: 2 }
exports:
  vm1: { socket: vm1.sock, lines: ['sim/*'] }
  vm2: { socket: sub.sock, lines: [{ line: sim/sim1, name: BUTTON, access: read }, aux/sim0] }
`);
    const command = new CommandProcess(['serve'], { cwd });
    const [ready] = await command.until(/^ready.*\n/);
    expect(ready).toContain(`vm1 (4 lines) on ${join(cwd, 'vm1.sock')}`);
    expect(ready).toContain(`vm2 (2 lines) on ${join(cwd, 'sub.sock')}`);
    const first = await guestOf(join(cwd, 'vm1.sock'));
    const second = await guestOf(join(cwd, 'sub.sock'));
    expect(await second.lineNames()).toEqual(['BUTTON', 'sim0']);
    await first.request(MSG_SET_DIRECTION, 0, 1);
    await first.request(MSG_SET_VALUE, 0, 1);
    expect((await second.request(MSG_GET_VALUE, 0)).value).toBe(1);
    await command.until(/^\d+\.\d{9}\trising\t"sim\/sim1"$/m);
    await first.request(MSG_SET_VALUE, 0, 0);
    await command.until(/^\d+\.\d{9}\tfalling\t"sim\/sim1"$/m);
    await command.until(/^\d+\.\d{9}\tfalling\t"sim\/sim0"\toutput$/m);
    expect(await command.terminate()).toBe(0);
    expect(existsSync(join(cwd, 'vm1.sock'))).toBe(false);
    expect(existsSync(join(cwd, 'sub.sock'))).toBe(false);
  });

  it('logs no line that log.lines does not name, and nothing below log.level', async () => {
    const cwd = folderWith(`${SIM}exports:
  vm1: { socket: vm1.sock, lines: ['sim/*'] }
log: { level: error, lines: [sim/sim3] }
`);
    const command = new CommandProcess(['serve', '-c', 'rproc-gpio.yaml'], { cwd });
    await command.until(/^ready/);
    const guest = await guestOf(join(cwd, 'vm1.sock'));
    for (const line of [0, 2]) {
      await guest.request(MSG_SET_DIRECTION, line, 1);
      await guest.request(MSG_SET_VALUE, line, 1);
    }
    await command.until(/rising/);
    expect(command.stdout.match(/rising\t.*/g)).toEqual(['rising\t"sim/sim3"']);
    expect(command.stderr).toBe('');
  });

  it('goes on when nobody reads its output any more', async () => {
    const cwd = folderWith(`${SIM}exports:\n  vm1: { socket: vm1.sock, lines: ['sim/*'] }\n`);
    const command = new CommandProcess(['serve'], { cwd });
    await command.until(/^ready/);
    command.child.stdout!.destroy();
    command.child.stderr!.destroy();
    const guest = await guestOf(join(cwd, 'vm1.sock'));
    await guest.request(MSG_SET_DIRECTION, 0, 1);
    for (let i = 0; i < 20; i++) expect((await guest.request(MSG_SET_VALUE, 0, i % 2)).status).toBe(0);
    expect((await guest.request(MSG_GET_VALUE, 1)).value).toBe(1);
  });

  it('serves a co-processor’s chip, and ends its firmware with itself', async () => {
    const folder = scratchFolder();
    const pins = join(folder, 'pins.sock');
    writeFileSync(
      join(folder, 'rproc-gpio.yaml'),
      `${hub(['sh', '-c', `echo $$ > ${folder}/pid; exec "$@"`, 'sh', HOST_FIRMWARE, `--pins=${pins}`], '')}chips:
  hub: { coprocessor: hub }
exports:
  vm1: { socket: vm1.sock, lines: [hub/BUTTON, 'hub/LOOP_*'] }
`,
    );
    const command = new CommandProcess(['serve'], { cwd: folder });
    await command.until(/^ready/m);
    const guest = await guestOf(join(folder, 'vm1.sock'));
    expect(await guest.lineNames()).toEqual(['BUTTON', 'LOOP_OUT', 'LOOP_IN']);
    expect((await guest.request(MSG_GET_VALUE, 0)).value).toBe(1);
    const pid = Number(readFileSync(join(folder, 'pid'), 'utf8'));
    expect(isAlive(pid)).toBe(true);
    expect(await command.terminate()).toBe(0);
    expect(isAlive(pid)).toBe(false);
  });
});

describe('a signal while a co-processor comes up', () => {
  it('ends at once, with code 0, and ends the firmware', async () => {
    const folder = scratchFolder();
    const pidFile = join(folder, 'pid');
    // It never offers a resource table.
    const config = hub(
      ['sh', '-c', `echo $$ > ${pidFile}; echo up; exec sleep 600`],
      '    startTimeoutMs: 600000\n',
    );
    writeFileSync(join(folder, 'rproc-gpio.yaml'), `${config}${SIM}  hub: { coprocessor: hub }\n`);
    const command = new CommandProcess(['serve'], { cwd: folder });
    await command.until(/up/, 'stderr');
    const pid = Number(readFileSync(pidFile, 'utf8'));
    const start = performance.now();
    expect(await command.terminate()).toBe(0);
    expect(performance.now() - start).toBeLessThan(5000);
    expect(command.stdout).toBe('');
    expect(isAlive(pid)).toBe(false);
  });
});

describe('a configuration that is wrong: exit code 2, its place, and nothing started', () => {
  const EXPORT = "exports:\n  vm1: { socket: vm1.sock, lines: ['sim/*'] }\n";
  it.each([
    [
      'an unknown key',
      `${SIM}exprots: {}\n`,
      /^rproc-gpio: rproc-gpio\.yaml:3:1: exprots: unknown key; did you mean/,
    ],
    [
      'a wrong type',
      'chips:\n  sim: { type: sim, lines: [4] }\n',
      /rproc-gpio\.yaml:2:28: chips\.sim\.lines: /,
    ],
    [
      'two exports on one socket',
      `${SIM}${EXPORT}  vm2: { socket: ./vm1.sock, lines: ['sim/*'] }\n`,
      /rproc-gpio\.yaml:5:18: exports\.vm2\.socket: .*"vm1"/,
    ],
    [
      'a line that does not exist',
      `${SIM}exports:\n  vm1: { socket: vm1.sock, lines: [sim/sim0, sim/sim7] }\n`,
      /rproc-gpio\.yaml:4:46: exports\.vm1\.lines\[1\]: .*sim7/,
    ],
    [
      'memories that overlap',
      `${hub([HOST_FIRMWARE]).replace(
        '}]\n    resource',
        '}, { type: file, path: ram, sizeBytes: 4096, deviceAddress: 0x20001000 }]\n    resource',
      )}${SIM}  hub: { coprocessor: hub }\n`,
      /rproc-gpio\.yaml:3:\d+: coprocessors\.hub\.memory\[1\]\.deviceAddress: .*overlaps memory\[0\]/,
    ],
    ['no YAML', 'chips: {\n', /rproc-gpio\.yaml:\d+:\d+: /],
    ['nothing in it', '', /rproc-gpio\.yaml:1:1: the file is empty/],
  ])('%s', async (_what, config, message) => {
    const cwd = folderWith(config);
    const { code, stdout, stderr } = await run(['serve'], { cwd });
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(stderr).toMatch(message);
    expect(existsSync(join(cwd, 'vm1.sock'))).toBe(false);
  });

  it('no file at all', async () => {
    const { code, stderr } = await run(['serve'], { cwd: scratchFolder() });
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /^rproc-gpio: rproc-gpio\.yaml: cannot be read \(ENOENT\); name the file with -c FILE$/m,
    );
  });

  it('a line that the firmware does not have, which shows when it runs: all is ended again', async () => {
    const folder = scratchFolder();
    const pidFile = join(folder, 'pid');
    const config = `${hub(['sh', '-c', `echo $$ > ${pidFile}; exec ${HOST_FIRMWARE} "$@"`, 'sh', `--pins=${folder}/p`])}chips:
  hub: { coprocessor: hub }
exports:
  vm1: { socket: vm1.sock, lines: [hub/BUTTON] }
  vm2:
    socket: vm2.sock
    lines:
      - hub/BUTTON
      - hub/BUTTTON
`;
    writeFileSync(join(folder, 'rproc-gpio.yaml'), config);
    const { code, stdout, stderr } = await run(['serve'], { cwd: folder });
    expect(code).toBe(2);
    expect(stdout).toBe('');
    const line = config.split('\n').findIndex((text) => text.includes('BUTTTON')) + 1;
    expect(stderr).toContain(
      `rproc-gpio: rproc-gpio.yaml:${line}:9: exports.vm2.lines[1]: no line matches 'hub/BUTTTON'`,
    );
    expect(stderr).toContain('IMU_INT');
    for (const name of ['vm1.sock', 'vm2.sock']) expect(existsSync(join(folder, name))).toBe(false);
    expect(isAlive(Number(readFileSync(pidFile, 'utf8')))).toBe(false);
  });
});

describe('what is missing: exit code 1, told clearly, nothing left', () => {
  const CHIPS = `${SIM}  hub: { coprocessor: hub }\nexports:\n  vm1: { socket: vm1.sock, lines: ['sim/*'] }\n`;
  const FILE_MEMORY = (path: string): string => `coprocessors:
  hub:
    memory: [{ type: file, path: ${path}, sizeBytes: 256KiB, deviceAddress: 0x20000000 }]
    resourceTable: { deviceAddress: 0x20000000 }
    doorbell: { type: poll }
`;
  it.each([
    [
      'the firmware’s program',
      `${hub(['./sensor-hub'])}${CHIPS}`,
      /co-processor hub: firmware .*\/sensor-hub does not exist/,
    ],
    [
      'its permission',
      `${hub(['/etc/passwd'])}${CHIPS}`,
      /co-processor hub: firmware \/etc\/passwd is not executable/,
    ],
    ['a program of PATH', `${hub(['no-such-program'])}${CHIPS}`, /no-such-program was not found in the PATH/],
    [
      'the memory',
      `${FILE_MEMORY('ram.bin')}${CHIPS}`,
      /co-processor hub: memory: .*\/ram\.bin does not exist/,
    ],
    [
      'some of the memory',
      `${FILE_MEMORY('rproc-gpio.yaml')}${CHIPS}`,
      /rproc-gpio\.yaml has \d+ bytes, too few for/,
    ],
    [
      'the socket’s folder',
      CHIPS.replace('vm1.sock', 'sub/vm1.sock').replace(/ {2}hub.*\n/, ''),
      /there is no folder .*\/sub/,
    ],
    [
      'leave to make the socket',
      CHIPS.replace('vm1.sock', '/sys/x.sock').replace(/ {2}hub.*\n/, ''),
      /no permission to make it in \/sys/,
    ],
    [
      'a firmware that lives',
      `${hub(['sh', '-c', 'echo broken >&2; exit 3'])}${CHIPS}`,
      /exited with code 3; its last line: broken/,
    ],
  ])('%s', async (_what, config, message) => {
    const cwd = folderWith(config);
    const { code, stdout, stderr } = await run(['serve'], { cwd });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr.split('\n').find((line) => line.startsWith('rproc-gpio: '))).toMatch(message);
    expect(existsSync(join(cwd, 'vm1.sock'))).toBe(false);
  });

  it('is told at once, also when another co-processor takes its time', async () => {
    const slow = hub(['sh', '-c', 'exec sleep 600'], '    startTimeoutMs: 600000\n');
    const missing = hub(['./none']).replace('coprocessors:\n  hub:', '  other:');
    const cwd = folderWith(`${slow}${missing}${SIM}  a: { coprocessor: hub }\n  b: { coprocessor: other }\n`);
    const { code, stderr } = await run(['serve'], { cwd });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^rproc-gpio: co-processor other: firmware .*\/none does not exist/m);
  });

  it('a free socket: the one that is served goes on', async () => {
    const cwd = folderWith(`${SIM}exports:\n  vm1: { socket: vm1.sock, lines: ['sim/*'] }\n`);
    const first = new CommandProcess(['serve'], { cwd });
    await first.until(/^ready/);
    const second = await run(['serve'], { cwd });
    expect(second.code).toBe(1);
    expect(second.stderr).toMatch(/vm1\.sock: .*another process is listening there/);
    expect((await (await guestOf(join(cwd, 'vm1.sock'))).request(MSG_GET_VALUE, 0)).status).toBe(0);
  });
});

describe('a bad resource table', () => {
  const VDEV: VdevEntry = {
    kind: 'vdev',
    id: 41,
    notifyid: 0,
    dfeatures: 1,
    gfeatures: 0,
    status: 0,
    vrings: [
      { da: 0x2000_1000, align: 4096, num: 64, notifyid: 1, pa: 0 },
      { da: 0x2000_4000, align: 4096, num: 64, notifyid: 2, pa: 0 },
    ],
    config: Uint8Array.of(4, 0, 0, 0, 0, 0, 0, 0),
  };
  const BUFFERS: MemoryEntry = {
    kind: 'carveout',
    da: 0x2000_8000,
    pa: 0x2000_8000,
    len: 0x8000,
    flags: 0,
    name: 'vdev0buffer',
  };
  const table = (vdev: VdevEntry): Uint8Array => {
    const bytes = new Uint8Array(256);
    encodeResourceTable([vdev, BUFFERS], bytes);
    return bytes;
  };
  /** The same with a 32-bit field changed. */
  const changed = (offset: number, value: number): Uint8Array => {
    const bytes = table(VDEV);
    new DataView(bytes.buffer).setUint32(offset, value, true);
    return bytes;
  };
  // Header of 16 bytes and two offsets, then the vdev: its type at 24, its vrings at 52 and 72.
  it.each([
    ['that is not there', new Uint8Array(16), /version is still 0/],
    ['of another version', changed(0, 2), /version is still 2/],
    ['whose entry lies outside of it', changed(16, 0x7fff_0000), /offset/],
    ['with a vring of no descriptors', changed(60, 0), /vring\[0\]\.num .* is 0/],
    ['with a vring of 63 descriptors', changed(60, 63), /vring\[0\]\.num .* is 63 .*power of two/],
    ['with a vring outside of the memory', changed(52, 0x3000_0000), /0x30000000/],
    ['of another device', table({ ...VDEV, id: 99 }), /99/],
    ['whose device somebody drives', table({ ...VDEV, status: 7 }), /0x7/],
  ])('%s: that chip is refused, the others are served', async (_what, bytes, message) => {
    const cwd = folderWith(`coprocessors:
  hub:
    memory: [{ type: file, path: ram.bin, sizeBytes: 256KiB, deviceAddress: 0x20000000 }]
    resourceTable: { deviceAddress: 0x20000000 }
    doorbell: { type: poll }
    startTimeoutMs: 200
chips:
  hub: { coprocessor: hub }
  sim: { type: sim, lines: 4 }
exports:
  vm1: { socket: vm1.sock, lines: ['sim/*'] }
  vm2: { socket: vm2.sock, lines: ['h*/*'] }
  vm3: { socket: vm3.sock, lines: ['*'] }
`);
    const ram = new Uint8Array(256 * 1024);
    ram.set(bytes);
    writeFileSync(join(cwd, 'ram.bin'), ram);
    const command = new CommandProcess(['serve'], { cwd });
    await command.until(/^ready: vm1 \(4 lines\) on [^;,]*; sim \[simulated\] \(4 lines\)$/m);
    const errors = command.stderr.split('\n').filter((line) => line.startsWith('error: '));
    expect(errors).toHaveLength(3);
    expect(errors[0]).toMatch(/^error: (co-processor|chip) hub is refused: /);
    expect(errors[0]).toMatch(message);
    expect(errors.slice(1)).toEqual([
      'error: export vm2 is refused: its chip hub could not be opened',
      'error: export vm3 is refused: its chip hub could not be opened',
    ]);
    expect((await (await guestOf(join(cwd, 'vm1.sock'))).request(MSG_GET_VALUE, 0)).status).toBe(0);
    expect(existsSync(join(cwd, 'vm2.sock'))).toBe(false);
    expect(await command.terminate()).toBe(0);
  });
});
