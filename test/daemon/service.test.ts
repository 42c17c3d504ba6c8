import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { type Config, ConfigError, parseConfig } from '../../src/config/config.ts';
import { HOST_FIRMWARE } from '../../src/daemon/demo-config.ts';
import { Service } from '../../src/daemon/service.ts';
import { NativeError } from '../../src/native.ts';
import { VhostUserFrontEnd } from '../../src/testing/front-end.ts';
import { REQUEST } from '../../src/wire/vhost-user.ts';
import { MSG_GET_VALUE, MSG_SET_DIRECTION, MSG_SET_VALUE } from '../../src/wire/virtio-gpio.ts';

function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'rproc-gpio-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A configuration in a folder of its own, for sockets and firmware. */
function configOf(text: string): { config: Config; folder: string; configFile: string } {
  const folder = scratchFolder();
  const configFile = join(folder, 'rproc-gpio.yaml');
  // The default control socket is one for all tests.
  const quiet = `${text}control: { enabled: false }\n`;
  return { config: parseConfig(quiet, configFile), folder, configFile };
}

const hubOf = (command: readonly string[], more = ''): string => `coprocessors:
  hub:
    memory: [{ type: memfd, sizeBytes: 256KiB, deviceAddress: 0x20000000 }]
    resourceTable: { deviceAddress: 0x20000000 }
    doorbell: { type: eventfd }
    exec: { command: ${JSON.stringify(command)} }
${more}`;

async function start(config: Config, signal?: AbortSignal) {
  const log: string[] = [];
  const lines: string[] = [];
  const service = await Service.start({
    config,
    configFile: null,
    onLog: (level, message) => log.push(`${level}: ${message}`),
    onLine: (text) => lines.push(text),
    ...(signal === undefined ? {} : { signal }),
  });
  onTestFinished(() => service.close());
  return { service, log, lines };
}

const SIM = 'chips:\n  sim: { type: sim, lines: 4 }\n';

describe('a service', () => {
  it('serves its exports, logs lines, and says what it has', async () => {
    const { config, folder } = configOf(`${SIM}exports:
  vm1: { socket: vm1.sock, lines: [sim/sim0, sim/sim1] }
  vm2: { socket: vm2.sock, lines: [sim/sim1] }
`);
    const { service, log, lines } = await start(config);
    expect(service.summary).toBe(
      `vm1 (2 lines) on ${folder}/vm1.sock, vm2 (1 line) on ${folder}/vm2.sock; sim [simulated] (4 lines)`,
    );
    expect([...service.chips.keys()]).toEqual(['sim']);
    expect(log).toEqual(['info: chip sim [simulated] (4 lines)']);
    const first = await VhostUserFrontEnd.connect({ socketPath: join(folder, 'vm1.sock') });
    const second = await VhostUserFrontEnd.connect({ socketPath: join(folder, 'vm2.sock') });
    onTestFinished(() => first.close());
    onTestFinished(() => second.close());
    await first.request(MSG_SET_DIRECTION, 0, 1);
    await first.request(MSG_SET_VALUE, 0, 1);
    expect((await second.request(MSG_GET_VALUE, 0)).value).toBe(1);
    expect(lines.map((text) => text.split('\t').slice(1).join(' ')).sort()).toEqual([
      'rising "sim/sim0" output\n',
      'rising "sim/sim1"\n',
    ]);
    expect(log.slice(1)).toEqual([
      'info: guest vm1: front-end connected',
      'info: guest vm2: front-end connected',
    ]);
  });

  it('without exports serves nobody, and says so', async () => {
    const { config } = configOf(SIM);
    expect((await start(config)).service.summary).toBe('no exports; sim [simulated] (4 lines)');
  });

  it('leaves nothing when it is closed, twice without harm', async () => {
    const { config, folder } = configOf(`${SIM}exports:\n  vm1: { socket: vm1.sock, lines: ['sim/*'] }\n`);
    const before = readdirSync('/proc/self/fd').length;
    const { service } = await start(config);
    const guest = await VhostUserFrontEnd.connect({ socketPath: join(folder, 'vm1.sock') });
    await service.close();
    await service.close();
    await guest.disconnected();
    guest.close();
    expect(existsSync(join(folder, 'vm1.sock'))).toBe(false);
    expect(readdirSync('/proc/self/fd')).toHaveLength(before);
  });

  it('of a co-processor gives its chip’s lines, and ends its firmware', async () => {
    const pins = join(scratchFolder(), 'pins.sock');
    const { config, folder } = configOf(`${hubOf([HOST_FIRMWARE, `--pins=${pins}`])}chips:
  hub: { coprocessor: hub }
exports:
  vm1: { socket: vm1.sock, lines: ['hub/*'] }
`);
    const before = readdirSync('/proc/self/fd').length;
    const { service, log } = await start(config);
    expect(log).toContain('info: chip hub [virtio-gpio+stream on hub] (16 lines)');
    expect(service.chips.get('hub')!.lines[0]!.name).toBe('IMU_INT');
    const guest = await VhostUserFrontEnd.connect({ socketPath: join(folder, 'vm1.sock') });
    expect((await guest.request(MSG_GET_VALUE, 5)).value).toBe(1);
    guest.close();
    await service.close();
    // The child's pipes close in a later turn.
    await vi.waitUntil(() => readdirSync('/proc/self/fd').length === before, { timeout: 5000, interval: 5 });
  });
});

describe('firmware that crashes while the service starts', () => {
  /** The example firmware; its first runs are ended by SIGKILL. */
  function crashing(times: number): string[] {
    const folder = scratchFolder();
    const script = `echo >>${folder}/runs; [ "$(wc -l <${folder}/runs)" -gt ${times} ] || kill -9 $$; exec ${HOST_FIRMWARE} "$@"`;
    return ['sh', '-c', script, 'sh', `--pins=${folder}/pins.sock`];
  }
  const served =
    "chips:\n  hub: { coprocessor: hub }\nexports:\n  vm1: { socket: vm1.sock, lines: ['hub/*'] }\n";

  it('is started again', async () => {
    const { service, log } = await start(configOf(`${hubOf(crashing(2))}${served}`).config);
    expect(service.chips.get('hub')!.lines).toHaveLength(16);
    expect(log.filter((line) => line.includes('SIGKILL'))).toEqual([
      'error: hub: firmware sh was ended by SIGKILL (9); starting it again in 100 ms',
      'error: hub: firmware sh was ended by SIGKILL (9); starting it again in 200 ms',
    ]);
  });

  it('every time ends it, for that reason', async () => {
    const { config } = configOf(`${hubOf(crashing(9))}${served}`);
    await expect(start(config)).rejects.toThrow(/co-processor hub: .*was ended by SIGKILL/);
  });
});

describe('a service that cannot be started leaves nothing:', () => {
  it('one of its sockets cannot be made', async () => {
    const { config, folder } = configOf(`${SIM}exports:
  vm1: { socket: vm1.sock, lines: ['sim/*'] }
  vm2: { socket: sub/vm2.sock, lines: ['sim/*'] }
`);
    const before = readdirSync('/proc/self/fd');
    await expect(start(config)).rejects.toThrow(NativeError);
    expect(existsSync(join(folder, 'vm1.sock'))).toBe(false);
    expect(readdirSync('/proc/self/fd')).toEqual(before);
  });

  it('no chip is left', async () => {
    const { config } = configOf(
      `${hubOf(['sh', '-c', 'exec sleep 600'], '    startTimeoutMs: 50\n')}chips:\n  hub: { coprocessor: hub }\n`,
    );
    await expect(start(config)).rejects.toThrow(/no chip could be opened/);
  });

  it('two lines of an export have one name', async () => {
    const { config } = configOf(`chips:
  a: { type: sim, lines: 2 }
  b: { type: sim, lines: 2 }
exports:
  vm1: { socket: vm1.sock, lines: ['*'] }
`);
    await expect(start(config)).rejects.toThrow(/a\/sim0 and b\/sim0 would both be named 'sim0'/);
  });

  it('it is given up', async () => {
    const { config } = configOf(
      `${hubOf(['sh', '-c', 'exec sleep 600'], '    startTimeoutMs: 600000\n')}${SIM}  hub: { coprocessor: hub }\n`,
    );
    const before = readdirSync('/proc/self/fd').length;
    const controller = new AbortController();
    const starting = start(config, controller.signal);
    setImmediate(() => controller.abort(new Error('given up')));
    await expect(starting).rejects.toThrow('given up');
    await vi.waitUntil(() => readdirSync('/proc/self/fd').length === before, { timeout: 5000, interval: 5 });
  });

  it('it was given up before', async () => {
    const { config } = configOf(SIM);
    await expect(start(config, AbortSignal.abort(new Error('not at all')))).rejects.toThrow('not at all');
  });
});

describe('ConfigError', () => {
  it('tells the place of what shows only at run time', async () => {
    const text = `chips:
  a: { type: sim, lines: 2 }
  b: { type: sim, lines: 2 }
exports:
  vm1:
    socket: vm1.sock
    lines: [a/sim0, b/sim0]
`;
    const { config, configFile } = configOf(text);
    writeFileSync(configFile, text);
    const started = Service.start({ config, configFile, onLog: () => {}, onLine: () => {} });
    const error = await started.then(
      () => null,
      (thrown: unknown) => thrown,
    );
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).message).toContain(`${configFile}:7:`);
  });
});

describe('a service whose guests have other drivers', () => {
  it.each([
    ['metux', 64, 2],
    ['draft-2021', 40, 1],
  ] as const)('offers them a device of protocol %s', async (protocol, configBytes, queues) => {
    const { config, folder } = configOf(
      `${SIM}exports:\n  vm1: { socket: vm1.sock, protocol: ${protocol}, lines: ['sim/*'] }\n`,
    );
    await start(config);
    const guest = VhostUserFrontEnd.open({ socketPath: join(folder, 'vm1.sock'), queueCount: queues });
    onTestFinished(() => guest.close());
    await guest.negotiate();
    const namesBytes = 'sim0'.length * 4 + 4;
    const space = await guest.control.getConfig(0, configBytes + namesBytes);
    expect(space).toHaveLength(configBytes + namesBytes);
    expect(Buffer.from(space.slice(configBytes)).toString()).toBe('sim0\0sim1\0sim2\0sim3\0');
    expect(await guest.control.getU64(REQUEST.GET_QUEUE_NUM)).toBe(BigInt(queues));
  });
});
