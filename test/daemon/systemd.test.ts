import { join } from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { Systemd } from '../../src/daemon/systemd.ts';
import { scratchFolder } from '../cli/command-process.ts';
import { FakeServiceManager } from '../cli/fake-service-manager.ts';

function taken(environment: NodeJS.ProcessEnv) {
  const log: string[] = [];
  const systemd = Systemd.take(environment, (level, message) => log.push(`${level}: ${message}`));
  onTestFinished(() => systemd.close());
  return { systemd, log };
}

describe('Systemd', () => {
  it.each([
    [{ WATCHDOG_USEC: '30000000' }, 30_000],
    [{ WATCHDOG_USEC: '30000000', WATCHDOG_PID: String(process.pid) }, 30_000],
    [{ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '1' }, null],
    [{}, null],
  ])('takes %j out of the environment: a watchdog of %j ms', (variables, watchdogMs) => {
    const environment = { NOTIFY_SOCKET: '@x', PATH: '/bin', ...variables };
    const { systemd, log } = taken(environment);
    expect([systemd.isThere, systemd.watchdogMs, log]).toEqual([true, watchdogMs, []]);
    expect(environment).toEqual({ PATH: '/bin' });
  });

  it.each(['0', '-5', 'soon', '1e9', ''])(
    'takes a watchdog of "%s" microseconds for none, and says so',
    (usec) => {
      const { systemd, log } = taken({ NOTIFY_SOCKET: '@x', WATCHDOG_USEC: usec });
      expect(systemd.watchdogMs).toBeNull();
      expect(log).toEqual([`warn: WATCHDOG_USEC=${usec} is no number of microseconds; there is no watchdog`]);
    },
  );

  it('does nothing without a socket', () => {
    const { systemd, log } = taken({ WATCHDOG_USEC: '1000' });
    systemd.ready('x');
    systemd.changed(() => {
      throw new Error('nobody wants to know');
    });
    systemd.watchdog();
    systemd.stopping('x');
    expect([systemd.isThere, systemd.watchdogMs, log]).toEqual([false, null, []]);
  });

  it('says once that nobody listens, and again after somebody did', async () => {
    const address = join(scratchFolder(), 'notify');
    const { systemd, log } = taken({ NOTIFY_SOCKET: address });
    systemd.watchdog();
    systemd.watchdog();
    expect(log).toEqual([expect.stringMatching(/^warn: service manager: notify .*notify/)]);
    const manager = await FakeServiceManager.start(address);
    systemd.extendTimeout(1500);
    await manager.until(/^EXTEND_TIMEOUT_USEC=1500000$/);
    expect(log).toHaveLength(1);
  });

  it('takes no other kind of address for one', () => {
    const { systemd, log } = taken({ NOTIFY_SOCKET: 'vsock:2:1234' });
    systemd.ready('x');
    expect(log).toEqual([expect.stringContaining('EINVAL')]);
  });

  it('sends a changed status at once, then the last one of each second, and none that is the same', async () => {
    const manager = await FakeServiceManager.start();
    const { systemd } = taken(manager.environment);
    const made: string[] = [];
    const status = (text: string) => () => {
      made.push(text);
      return text;
    };
    systemd.changed(status('first\nline'));
    for (let i = 0; i < 100; i++) systemd.changed(status(`${i}`));
    await manager.until(/^STATUS=first line$/);
    // The first of those that came within the second asks for all: it is made when it is sent.
    await vi.waitFor(() => expect(made).toHaveLength(2), 5000);
    await manager.until(/^STATUS=0$/);
    systemd.ready('0');
    systemd.changed(status('0'));
    await vi.waitFor(() => expect(made).toHaveLength(3), 5000);
    systemd.stopping('over');
    await manager.until(/^STOPPING=1$/);
    expect(manager.lines).toEqual([
      'STATUS=first line',
      'STATUS=0',
      'READY=1',
      'STATUS=0',
      'STOPPING=1',
      'STATUS=over',
    ]);
  });
});
