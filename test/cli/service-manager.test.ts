import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { HOST_FIRMWARE } from '../../src/daemon/demo-config.ts';
import { VhostUserFrontEnd } from '../../src/testing/front-end.ts';
import { MSG_GET_VALUE } from '../../src/wire/virtio-gpio.ts';
import { CommandProcess, scratchFolder } from './command-process.ts';
import { FakeServiceManager } from './fake-service-manager.ts';

// Whole services, several a test, on a machine that may be busy.
vi.setConfig({ testTimeout: 60_000 });

const CONFIG = `chips: { sim: { type: sim, lines: 4 } }
exports: { vm1: { socket: vm1.sock, lines: ['sim/*'] } }
`;
const READY = 'STATUS=1 chip; 0 of 1 guests connected';

function folderWith(config: string): string {
  const folder = scratchFolder();
  writeFileSync(join(folder, 'rproc-gpio.yaml'), config);
  return folder;
}

describe('a service that systemd runs', () => {
  it('says that it is ready once guests can connect, what it does, and that it ends', async () => {
    const manager = await FakeServiceManager.start();
    const cwd = folderWith(CONFIG);
    const command = new CommandProcess(['serve'], { cwd, env: manager.environment });
    await manager.until(/^READY=1$/);
    const guest = await VhostUserFrontEnd.connect({ socketPath: join(cwd, 'vm1.sock') });
    onTestFinished(() => guest.close());
    await manager.until(/^STATUS=1 chip; 1 of 1 guests connected$/);
    guest.close();
    const at = await manager.until(/^STATUS=1 chip; 0 of 1 guests/, 3);
    expect(await command.terminate()).toBe(0);
    await manager.until(/^STOPPING=1$/, at);
    expect(manager.lines).toEqual([
      'READY=1',
      READY,
      'STATUS=1 chip; 1 of 1 guests connected',
      READY,
      'STOPPING=1',
      'STATUS=ending',
    ]);
    expect(new Set(manager.told.map(({ pid }) => pid))).toEqual(new Set([command.child.pid]));
  });

  it('says so at an abstract address, too, and speaks of a reload, which may be refused', async () => {
    const manager = await FakeServiceManager.start(`@rproc-gpio-test-${process.pid}`);
    const cwd = folderWith(CONFIG);
    const command = new CommandProcess(['serve'], { cwd, env: manager.environment });
    let at = await manager.until(/^READY=1$/);
    await command.until(/^ready/);
    const before = process.hrtime.bigint() / 1000n;
    command.child.kill('SIGHUP');
    at = await manager.until(/^READY=1$/, at);
    writeFileSync(join(cwd, 'rproc-gpio.yaml'), 'chips: 5\n');
    command.child.kill('SIGHUP');
    await manager.until(/^READY=1$/, at);
    const [, , first, firstAt, ready, status, ...second] = manager.lines;
    expect([first, ready, status]).toEqual(['RELOADING=1', 'READY=1', READY]);
    const micros = BigInt(/^MONOTONIC_USEC=(\d+)$/.exec(firstAt as string)?.[1] ?? 0);
    expect(micros >= before && micros <= process.hrtime.bigint() / 1000n).toBe(true);
    expect(second[0]).toBe('RELOADING=1');
    await command.until(/chips/, 'stderr');
    expect(await command.terminate()).toBe(0);
  });

  it('pings while all goes on, from READY to STOPPING, and the firmware knows nothing of it', async () => {
    const manager = await FakeServiceManager.start();
    const folder = scratchFolder();
    const config = `coprocessors:
  hub:
    memory: [{ type: memfd, sizeBytes: 256KiB, deviceAddress: 0x20000000 }]
    resourceTable: { deviceAddress: 0x20000000 }
    doorbell: { type: eventfd }
    exec: { command: [sh, -c, 'env > ${folder}/env; exec ${HOST_FIRMWARE} "$@"', sh, '--pins=${folder}/pins'] }
chips: { hub: { coprocessor: hub } }
mqtt: { broker: embedded, port: 0, lines: ['hub/*'] }
exports: { vm1: { socket: vm1.sock, lines: ['hub/*'] } }
`;
    writeFileSync(join(folder, 'rproc-gpio.yaml'), config);
    const env = { ...manager.environment, WATCHDOG_USEC: '400000' };
    const command = new CommandProcess(['serve'], { cwd: folder, env });
    await manager.untilPings(2);
    const guest = await VhostUserFrontEnd.connect({ socketPath: join(folder, 'vm1.sock') });
    onTestFinished(() => guest.close());
    const before = manager.pings;
    while (manager.pings < before + 8) expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
    expect(await command.terminate()).toBe(0);
    await manager.until(/^STOPPING=1$/);
    const { lines } = manager;
    expect(lines[0]).toBe('READY=1');
    expect(lines[1]).toMatch(/^STATUS=1 chip; 0 of 1 guests connected; co-processor hub running; MQTT /);
    expect(lines.lastIndexOf('WATCHDOG=1')).toBeLessThan(lines.indexOf('STOPPING=1'));
    expect(readFileSync(join(folder, 'env'), 'utf8')).not.toMatch(/NOTIFY_SOCKET|WATCHDOG/);
    expect(command.stderr).not.toContain('watchdog');
  });

  it('has no watchdog that is meant for another process', async () => {
    const manager = await FakeServiceManager.start();
    const cwd = folderWith(CONFIG);
    const env = { ...manager.environment, WATCHDOG_USEC: '20000', WATCHDOG_PID: '1' };
    const command = new CommandProcess(['serve'], { cwd, env });
    await command.until(/^ready/);
    const guest = await VhostUserFrontEnd.connect({ socketPath: join(cwd, 'vm1.sock') });
    onTestFinished(() => guest.close());
    await manager.until(/^STATUS=.*1 of 1/);
    expect(await command.terminate()).toBe(0);
    await manager.until(/^STOPPING=1$/);
    expect(manager.pings).toBe(0);
  });

  it('serves all the same when nobody listens there, and says so once', async () => {
    const cwd = folderWith(CONFIG);
    const command = new CommandProcess(['serve'], { cwd, env: { NOTIFY_SOCKET: join(cwd, 'nobody') } });
    await command.until(/^ready/);
    await command.until(/service manager: notify .*nobody/, 'stderr');
    expect(await command.terminate()).toBe(0);
    expect(command.stderr.match(/service manager/g)).toHaveLength(1);
  });
});
