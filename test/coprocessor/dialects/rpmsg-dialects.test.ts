import { describe, expect, it } from 'vitest';
import {
  dialectOfChannel,
  openRpmsgChip,
  type RpmsgDialectOptions,
} from '../../../src/coprocessor/dialects/rpmsg-dialects.ts';
import { openBus } from '../rpmsg/open-bus.ts';
import { PlayedChannel } from './played-channel.ts';

const base: RpmsgDialectOptions = {
  name: 'hub',
  where: 'm4',
  dialect: 'auto',
  channelTimeoutMs: 20,
  requestTimeoutMs: 20,
  lines: [{ port: 0, pin: 1, name: 'A' }],
};

describe('the dialect of a channel', () => {
  it.each([
    ['rpmsg-io-channel', 'srtm'],
    ['rpmsg-io', 'rpmsg-io'],
    ['rpmsg-io-0', 'rpmsg-gpio'],
    ['rpmsg-io-12', 'rpmsg-gpio'],
    ['rpmsg-io-', null],
    ['rpmsg-io-x', null],
    ['my-rpmsg-io', null],
    ['rpmsg-tty', null],
  ])('%s: %s', (channel, dialect) => {
    expect(dialectOfChannel(channel)).toBe(dialect);
  });

  it('says which channels there are when there is none for GPIO', async () => {
    const { bus, peer, poller } = openBus();
    peer.create('rpmsg-tty', 30);
    poller.run();
    for (const dialect of ['auto', 'srtm', 'rpmsg-gpio'] as const) {
      await expect(openRpmsgChip(bus, { ...base, dialect })).rejects.toThrow(
        expect.objectContaining({ code: 'ERR_RPMSG', message: expect.stringContaining('"rpmsg-tty"') }),
      );
    }
    bus.close();
  });

  it('wants to be told the dialect of a channel with another name, and gives that back', async () => {
    const channel = new PlayedChannel('gpio-io');
    await expect(openRpmsgChip(channel, { ...base, channel: 'gpio-io' })).rejects.toThrow(
      /^m4: the name of the rpmsg channel "gpio-io" does not tell its dialect; say which: srtm, rpmsg-io, rpmsg-gpio, rpmsg-gpio-kind0\. Channels: "gpio-io", "rpmsg-tty"$/,
    );
    expect(channel.closes).toBe(1);
    channel.onSent = (message) => channel.receive(1, ...message.slice(1, 4), 0, 1);
    const chip = await openRpmsgChip(channel, { ...base, channel: 'gpio-io', dialect: 'rpmsg-io' });
    expect(chip.label).toBe('rpmsg-io on m4');
    chip.close();
  });

  it('gives up on a firmware that does not answer, says what was seen, and gives the channel back', async () => {
    const channel = new PlayedChannel('rpmsg-io-channel');
    channel.onSent = () => channel.receive(1, 0, 0);
    await expect(openRpmsgChip(channel, base)).rejects.toThrow(
      /^srtm on m4: no answer within 100 ms on the rpmsg channel "rpmsg-io-channel"; does the firmware there speak srtm, and has it port 0, pin 1\? Seen: timeouts \d+, questions \d+, shortMessages \d+$/,
    );
    expect(channel.closes).toBeGreaterThan(0);
  });

  it('says why when the channel goes while it opens', async () => {
    const channel = new PlayedChannel('rpmsg-io-channel');
    channel.onSent = () => channel.go('the firmware has crashed');
    await expect(openRpmsgChip(channel, base)).rejects.toThrow(/^srtm on m4: the firmware has crashed/);
  });

  it.each<[string, Partial<RpmsgDialectOptions>, RegExp]>([
    ['no lines', { dialect: 'srtm', lines: [] }, /^m4: no lines are configured; srtm does not tell/],
    [
      'a port beyond SRTM’s',
      { dialect: 'srtm', lines: [{ port: 10, pin: 0, name: '' }] },
      /^m4: line 0 is port 10, pin 0; srtm has ports 0 to 9 with pins 0 to 31$/,
    ],
    [
      'a port where there are none',
      { dialect: 'rpmsg-gpio', lines: [{ port: 1, pin: 0, name: '' }] },
      /rpmsg-gpio has ports 0 to 0/,
    ],
    [
      'too many lines',
      { dialect: 'rpmsg-gpio', lines: undefined, lineCount: 33 },
      /line 32 is port 0, pin 32/,
    ],
    [
      'a line twice',
      {
        dialect: 'rpmsg-io',
        lines: [
          { port: 3, pin: 4, name: '' },
          { port: 3, pin: 4, name: 'B' },
        ],
      },
      /^m4: lines 0 and 1 are both port 3, pin 4$/,
    ],
    [
      'a name twice',
      {
        dialect: 'rpmsg-io',
        lines: [
          { port: 3, pin: 4, name: 'B' },
          { port: 3, pin: 5, name: 'B' },
        ],
      },
      /^m4: line 1 is named "B", as another line is already/,
    ],
  ])('refuses %s before it waits for a channel', async (_what, changes, message) => {
    const channel = new PlayedChannel('rpmsg-io-channel');
    await expect(openRpmsgChip(channel, { ...base, ...changes })).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_RPMSG', message: expect.stringMatching(message) }),
    );
    expect(channel.opened).toBe(0);
  });
});
