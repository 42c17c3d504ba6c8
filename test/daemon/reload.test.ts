import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';
import { ReloadError } from '../../src/daemon/reload.ts';
import { Service } from '../../src/daemon/service.ts';
import { VhostUserFrontEnd } from '../../src/testing/front-end.ts';
import {
  MSG_GET_VALUE,
  MSG_SET_DIRECTION,
  MSG_SET_IRQ_TYPE,
  MSG_SET_VALUE,
} from '../../src/wire/virtio-gpio.ts';

const OUT = 1;
const OK = 0;
const ERR = 1;

/** A service of a file that can be written anew. */
async function serve(text: string) {
  const folder = mkdtempSync(join(tmpdir(), 'rproc-gpio-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const configFile = join(folder, 'rproc-gpio.yaml');
  const write = (newText: string): void =>
    writeFileSync(configFile, `control: { enabled: false }\n${newText}`);
  write(text);
  const log: string[] = [];
  const lines: string[] = [];
  const service = await Service.start({
    config: loadConfig(configFile),
    configFile,
    loadConfig: () => loadConfig(configFile),
    onLog: (level, message) => log.push(`${level}: ${message}`),
    onLine: (line) => lines.push(line),
  });
  onTestFinished(() => service.close());
  const connect = async (socket: string): Promise<VhostUserFrontEnd> => {
    const guest = await VhostUserFrontEnd.connect({ socketPath: join(folder, socket) });
    onTestFinished(() => guest.close());
    return guest;
  };
  const reload = (newText: string) => {
    write(newText);
    return service.reload();
  };
  return { service, folder, log, lines, connect, reload };
}

const CHIPS = 'chips:\n  sim: { type: sim, lines: 8 }\n';
const VM1 = 'exports:\n  vm1: { socket: vm1.sock, lines: [sim/sim0, sim/sim1, sim/sim2] }\n';

describe('reload', () => {
  it('of an unchanged file changes nothing', async () => {
    const { reload, connect, log } = await serve(CHIPS + VM1);
    const guest = await connect('vm1.sock');
    expect(await reload(CHIPS + VM1)).toEqual({ changed: [], unchanged: true });
    expect(log.at(-1)).toBe('info: reloaded: nothing has changed');
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(OK);
  });

  it('adds, moves and removes exports, and leaves a connected guest with what it has', async () => {
    const { reload, connect, folder } = await serve(CHIPS + VM1);
    const guest = await connect('vm1.sock');
    await guest.request(MSG_SET_IRQ_TYPE, 1, 3);
    guest.queueEvent(1);
    const vm2 = '  vm2: { socket: vm2.sock, lines: [sim/sim0] }\n';
    expect((await reload(CHIPS + VM1 + vm2)).changed).toEqual(['export vm2 is added']);
    const second = await connect('vm2.sock');
    await second.request(MSG_SET_DIRECTION, 0, OUT);
    await second.request(MSG_SET_VALUE, 0, 1);
    // The first guest's interrupt is still enabled, its buffer still there.
    expect(await guest.nextEvent()).toMatchObject({ gpio: 1, status: 1 });
    second.close();
    await expect
      .poll(async () => (await reload(CHIPS + VM1 + vm2.replace('vm2.sock', 'moved.sock'))).changed.length)
      .toBeLessThan(2);
    expect(existsSync(join(folder, 'vm2.sock'))).toBe(false);
    expect(existsSync(join(folder, 'moved.sock'))).toBe(true);
    expect((await reload(CHIPS + VM1)).changed).toEqual(['export vm2 is removed']);
    expect(existsSync(join(folder, 'moved.sock'))).toBe(false);
    expect((await guest.request(MSG_GET_VALUE, 1)).value).toBe(1);
  });

  it('changes rights of a connected guest in place', async () => {
    const { reload, connect } = await serve(CHIPS + VM1);
    const guest = await connect('vm1.sock');
    expect((await guest.request(MSG_SET_DIRECTION, 2, OUT)).status).toBe(OK);
    const changed = VM1.replace('sim/sim2', '{ line: sim/sim2, access: read }');
    expect((await reload(CHIPS + changed)).changed).toEqual([
      'export vm1 has other rights or debounce periods',
    ]);
    expect((await guest.request(MSG_SET_VALUE, 2, 1)).status).toBe(ERR);
    expect((await reload(CHIPS + VM1)).changed).toHaveLength(1);
    expect((await guest.request(MSG_SET_VALUE, 2, 1)).status).toBe(OK);
  });

  it.each([
    [
      'the number of lines',
      VM1.replace(', sim/sim2', ''),
      /export vm1: the number of its lines cannot be changed from 3 to 2 while a guest is connected; disconnect it first/,
    ],
    [
      'the order of lines',
      VM1.replace('sim/sim1, sim/sim2', 'sim/sim2, sim/sim1'),
      /export vm1: which lines it has/,
    ],
    [
      'a name',
      VM1.replace('sim/sim2', '{ line: sim/sim2, name: other }'),
      /export vm1: which lines it has, and their names/,
    ],
    ['the socket', VM1.replace('vm1.sock', 'other.sock'), /export vm1: its socket cannot be changed/],
    ['the export itself', '', /export vm1: it cannot be removed/],
  ])('refuses to change %s under a guest, and changes nothing', async (_what, text, message) => {
    const { reload, connect, service } = await serve(CHIPS + VM1);
    const guest = await connect('vm1.sock');
    const more = '  aux: { type: sim, lines: 1 }\n';
    await expect(reload(CHIPS + more + text)).rejects.toThrow(ReloadError);
    await expect(reload(CHIPS + more + text)).rejects.toThrow(message);
    expect([...service.chips.keys()]).toEqual(['sim']);
    expect((await guest.request(MSG_GET_VALUE, 2)).status).toBe(OK);
    guest.close();
    // Without a guest it can be done.
    await expect
      .poll(() =>
        reload(CHIPS + more + text).then(
          ({ changed }) => changed.length > 0,
          () => false,
        ),
      )
      .toBe(true);
    expect([...service.chips.keys()]).toEqual(['sim', 'aux']);
  });

  it('refuses to change a chip that a guest uses, and opens it anew otherwise', async () => {
    const { reload, connect, service } = await serve(CHIPS + VM1);
    const guest = await connect('vm1.sock');
    const larger = CHIPS.replace('8', '9');
    await expect(reload(larger + VM1)).rejects.toThrow(
      'not reloaded: chip sim has changed while a guest of export vm1 uses it; disconnect it first',
    );
    guest.close();
    await expect
      .poll(() =>
        reload(larger + VM1).then(
          () => true,
          () => false,
        ),
      )
      .toBe(true);
    expect(service.chips.get('sim')!.lines).toHaveLength(9);
    const again = await connect('vm1.sock');
    expect((await again.request(MSG_GET_VALUE, 0)).status).toBe(OK);
  });

  it('applies settings of lines in place', async () => {
    const { reload, connect, service } = await serve(CHIPS + VM1);
    const guest = await connect('vm1.sock');
    const changed = CHIPS.replace('lines: 8', 'lines: 8, lineSettings: { sim0: { onRelease: low } }');
    expect((await reload(changed + VM1)).changed).toEqual(['chip sim has other line settings']);
    expect(service.chips.get('sim')!.lines[0]!.settings.onRelease).toBe('low');
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(OK);
  });

  it('changes what is logged', async () => {
    const { reload, connect, lines } = await serve(`${CHIPS + VM1}log: { lines: [] }\n`);
    const guest = await connect('vm1.sock');
    await guest.request(MSG_SET_DIRECTION, 0, OUT);
    await guest.request(MSG_SET_VALUE, 0, 1);
    expect(lines).toEqual([]);
    expect((await reload(`${CHIPS + VM1}log: { lines: [sim/sim1] }\n`)).changed).toEqual([
      'the line log has other lines',
    ]);
    await guest.request(MSG_SET_VALUE, 0, 0);
    expect(lines.map((line) => line.split('\t').slice(1))).toEqual([['falling', '"sim/sim1"\n']]);
  });

  it('of a faulty file names its place, and changes nothing', async () => {
    const { reload, service } = await serve(CHIPS + VM1);
    await expect(reload('chips: {}\n')).rejects.toThrow(/rproc-gpio\.yaml:2:8: chips: is empty/);
    await expect(reload(CHIPS + VM1.replace('sim2', 'sim9'))).rejects.toThrow(/rproc-gpio\.yaml:5:\d+: /);
    expect(service.chips.size).toBe(1);
    expect((await reload(CHIPS + VM1)).unchanged).toBe(true);
  });

  it('goes one after the other', async () => {
    const { reload } = await serve(CHIPS + VM1);
    const vm2 = '  vm2: { socket: vm2.sock, lines: [sim/sim0] }\n';
    const reports = await Promise.all([reload(CHIPS + VM1 + vm2), reload(CHIPS + VM1 + vm2)]);
    expect(reports.map(({ changed }) => changed)).toEqual([['export vm2 is added'], []]);
  });

  it('without a file says so', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'rproc-gpio-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const configFile = join(folder, 'a.yaml');
    writeFileSync(configFile, `control: { enabled: false }\n${CHIPS}`);
    const service = await Service.start({
      config: loadConfig(configFile),
      configFile: null,
      onLog: () => {},
      onLine: () => {},
    });
    onTestFinished(() => service.close());
    await expect(service.reload()).rejects.toThrow('this service runs without a configuration file');
  });
});
