import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openRpmsgChip, type RpmsgDialectOptions } from '../../../src/coprocessor/dialects/rpmsg-dialects.ts';
import { ChipLines } from '../../../src/gpio/chip-lines.ts';
import { TestConsumer } from '../../gpio/consumer.ts';
import { openBus } from '../rpmsg/open-bus.ts';
import { counted } from './played-channel.ts';
import { PlayedSrtm } from './played-rpmsg-gpio.ts';

const OPTIONS: RpmsgDialectOptions = {
  name: 'hub',
  where: 'm4',
  dialect: 'auto',
  lines: ['A', 'B', 'C'].map((name, pin) => ({ port: 0, pin, name })),
  channelTimeoutMs: 1000,
  requestTimeoutMs: 1000,
};

/** SRTM firmware behind a bus; it runs only when a test says so. */
async function start(losesMasked: boolean) {
  const { bus, peer, poller, vdev } = openBus({ queueSizes: [16, 16] });
  const firmware = new PlayedSrtm(peer, losesMasked);
  /** Both sides until neither has anything left to do. */
  const settle = (): void => {
    for (let i = 0; i < 40; i++) {
      peer.serve();
      vdev.ring();
      poller.run();
    }
  };
  const open = async () => {
    firmware.announce();
    const opening = openRpmsgChip(bus, OPTIONS);
    const turns = setInterval(settle, 1);
    const chip = await opening.finally(() => clearInterval(turns));
    return { chip, lines: new ChipLines(chip) };
  };
  return { bus, peer, poller, vdev, firmware, settle, open, ...(await open()) };
}

describe.each([
  ['remembers', false],
  ['loses', true],
])('lines behind SRTM firmware that %s edges of masked lines', (_what, losesMasked) => {
  it('end with the level that is there, whatever happened in between', async () => {
    const { bus, chip, lines, firmware, settle, peer, poller, vdev } = await start(losesMasked);
    const consumers = [0, 1, 2].map((offset) => new TestConsumer(lines, offset));
    for (const consumer of consumers) consumer.setIrqType(3);
    settle();
    const step = fc.record({
      what: fc.constantFrom('drive', 'drive', 'drive', 'firmware', 'gateway', 'settle'),
      pin: fc.integer({ min: 0, max: 2 }),
      level: fc.constantFrom(0, 1),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        for (const { what, pin, level } of steps) {
          if (what === 'drive') firmware.drive(pin, level);
          else if (what === 'firmware') peer.serve();
          else if (what === 'settle') settle();
          else {
            vdev.ring();
            poller.run();
          }
        }
        settle();
        for (const [pin, line] of lines.lines.entries()) {
          expect([line.fresh, line.level], `pin ${pin}`).toEqual([true, firmware.levels[pin]]);
        }
      }),
      { numRuns: 200 },
    );
    expect(counted({ counters: { ...chip.counters, notifications: 0 } })).toEqual({});
    bus.close();
  });
});

describe('an SRTM channel', () => {
  it('may go and come back: pending requests are answered, and it is opened again', async () => {
    const { bus, chip, firmware, settle, open } = await start(false);
    const told: string[] = [];
    const lines = new ChipLines(chip);
    lines.onAvailability((available, reason) => told.push(`${available} ${reason}`));
    firmware.isDeaf = true;
    const results: number[] = [];
    for (let offset = 0; offset < 3; offset++) {
      chip.getValue(offset, { complete: (_token, result) => results.push(result) }, 0);
    }
    firmware.destroy();
    settle();
    expect(results).toEqual([3, 3, 3]);
    expect(told).toEqual(['false the co-processor has destroyed the channel "rpmsg-io-channel"']);
    firmware.isDeaf = false;
    for (let round = 0; round < 5; round++) {
      const again = await open();
      const consumer = new TestConsumer(again.lines, 2);
      consumer.setIrqType(3);
      settle();
      firmware.drive(2, 1 - (firmware.levels[2] as number));
      settle();
      expect(again.lines.lines[2]?.level).toBe(firmware.levels[2]);
      if (round % 2 === 0) again.chip.close();
      else firmware.destroy();
      settle();
      expect(again.chip.available).toBe(false);
    }
    bus.close();
  });

  it('goes on after bytes that make no sense, of any length', async () => {
    const { bus, chip, lines, firmware, settle } = await start(false);
    const consumer = new TestConsumer(lines, 0);
    consumer.setIrqType(3);
    settle();
    const nonsense = fc.oneof(
      fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 20 }),
      fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 17 }).map((tail) => [5, 1, ...tail]),
    );
    fc.assert(
      fc.property(fc.array(nonsense, { maxLength: 10 }), fc.constantFrom(0, 1), (messages, level) => {
        for (const message of messages) firmware.send(...message);
        firmware.drive(0, level);
        settle();
        // What was nonsense may have looked like an answer; the next ones are right.
        firmware.drive(0, 1 - level);
        settle();
        firmware.drive(0, level);
        settle();
        expect(lines.lines[0]?.level).toBe(level);
      }),
      { numRuns: 200 },
    );
    expect(chip.available).toBe(true);
    bus.close();
  });
});
