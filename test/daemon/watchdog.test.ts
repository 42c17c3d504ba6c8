import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { Watchdog } from '../../src/daemon/watchdog.ts';
import { openDescriptors } from '../native/scratch.ts';

describe('Watchdog', () => {
  it('pings at once and then twice a period while all goes on, and tells once of what does not', async () => {
    const before = openDescriptors().size;
    let stuck: string | null = null;
    let pings = 0;
    const told: (string | null)[] = [];
    const watchdog = new Watchdog({
      periodMs: 40,
      progress: { stuck: () => stuck },
      ping: () => pings++,
      onStuck: (reason) => told.push(reason),
    });
    onTestFinished(() => watchdog.close());
    await vi.waitFor(() => expect(pings).toBeGreaterThan(3));
    stuck = 'guest vm1: queue 0';
    await vi.waitFor(() => expect(told).toEqual([stuck]));
    const silent = pings;
    stuck = 'guest vm1: queue 1';
    await vi.waitFor(() => expect(told).toHaveLength(2));
    expect(pings).toBe(silent);
    stuck = null;
    await vi.waitFor(() => expect(pings).toBeGreaterThan(silent));
    expect(told).toEqual(['guest vm1: queue 0', 'guest vm1: queue 1', null]);
    watchdog.close();
    watchdog.close();
    expect(openDescriptors().size).toBe(before);
  });

  it('does not ping when its look throws: that ends the process', async () => {
    let pings = 0;
    const thrown = new Promise<Error>((resolve) => {
      const listeners = process.listeners('uncaughtException');
      process.removeAllListeners('uncaughtException');
      process.once('uncaughtException', (error) => {
        for (const listener of listeners) process.on('uncaughtException', listener);
        resolve(error);
      });
    });
    const watchdog = new Watchdog({
      periodMs: 60_000,
      progress: {
        stuck: () => {
          throw new Error('a look that fails');
        },
      },
      ping: () => pings++,
      onStuck: () => {},
    });
    onTestFinished(() => watchdog.close());
    expect((await thrown).message).toBe('a look that fails');
    expect(pings).toBe(0);
  });
});
