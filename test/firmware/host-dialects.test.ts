import { spawnSync } from 'node:child_process';
import { closeSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { Coprocessor } from '../../src/coprocessor/coprocessor.ts';
import { RpmsgBus, WANTED_RPMSG_FEATURES } from '../../src/coprocessor/rpmsg/bus.ts';
import { connectUnix, openPoll, POLL_DISCONNECT, sendMessage } from '../../src/native.ts';
import { Poller } from '../../src/virtqueue/poller.ts';
import { PinsClient } from '../cli/pins-client.ts';
import { scratchFolder } from '../coprocessor/scratch-folder.ts';

const HUB = fileURLToPath(new URL('../../build/Release/sensor-hub', import.meta.url));
const BASE = 0x2000_0000;
const ALL_FEATURES = 0xffff_ffff;

beforeAll(() => {
  if (!existsSync(HUB)) throw new Error(`${HUB} is not built: npm run build`);
});

async function startHub(...args: string[]) {
  const pinsPath = join(scratchFolder(), 'pins');
  const coprocessor = new Coprocessor({
    name: 'hub',
    memory: [{ type: 'memfd', sizeBytes: 0x1_0000, deviceAddress: BASE }],
    resourceTable: { deviceAddress: BASE },
    doorbell: { type: 'eventfd' },
    exec: { command: [HUB, `--pins=${pinsPath}`, ...args] },
    onLog: () => {},
  });
  onTestFinished(() => coprocessor.close());
  await coprocessor.start();
  return { coprocessor, pinsPath, pins: new PinsClient(pinsPath) };
}

/** The firmware with its channel open: messages in hexadecimal. */
async function openChannel(channel: string, ...args: string[]) {
  const { coprocessor, pins } = await startHub(...args);
  const vdev = coprocessor.bindVdev(0, 7, WANTED_RPMSG_FEATURES);
  const bus = RpmsgBus.open(vdev, { name: 'hub', poller: new Poller() });
  onTestFinished(() => bus.close());
  const endpoint = await bus.open(channel, 5000);
  const got: string[] = [];
  endpoint.onMessage((bytes) => got.push(Buffer.from(bytes).toString('hex')));
  const send = (hex: string) => endpoint.send(Buffer.from(hex, 'hex'));
  const next = async () => {
    await vi.waitFor(() => expect(got.length).toBeGreaterThan(0), 5000);
    return got.shift();
  };
  const ask = (hex: string) => {
    expect(send(hex)).toBe(true);
    return next();
  };
  return { coprocessor, pins, ask, next, send };
}

describe('the host port on rpmsg', () => {
  it('speaks SRTM, as its channel says', async () => {
    const { pins, ask, next } = await openChannel('rpmsg-io-channel', '--dialect=srtm');
    // Input-init of BUTTON, both edges; it idles high.
    expect(await ask('05010000000000000000050003000000')).toBe('0501000100000000000005000000');
    expect(await pins.ask('set BUTTON 0')).toBe('ok');
    expect(await next()).toBe('050100020000000000000500');
    expect(await ask('05010000020000000000050000000000')).toBe('0501000102000000000005000000');
    // LED_STATUS is pin 0 of port 1.
    expect(await ask('05010000010000000000000101000000')).toBe('0501000101000000000000010000');
    expect(await pins.ask('get LED_STATUS')).toBe('1');
    expect(await ask('05010000030000000000000100000000')).toBe('0501000103000000000000010000');
    expect(await pins.ask('stats')).toBe('requests 4 refused 0 events 1 dropped 0 malformed 0');
  });

  it('speaks the 6 bytes of revision 12', async () => {
    const { pins, ask, next } = await openChannel('rpmsg-io', '--dialect=rpmsg-io', '--directions=1-2');
    expect(await ask('000601070300')).toBe('010601070000');
    // LOOP_OUT is wired to LOOP_IN: the notification may come before the reply.
    expect(await ask('000301060100')).toBe('010301060000');
    expect(new Set([await ask('000501060100'), await next()])).toEqual(
      new Set(['020001070100', '010501060000']),
    );
    expect(await ask('000201060000')).toBe('010201060001');
    expect(await pins.ask('get LOOP_IN')).toBe('1');
  });

  it.each([
    ['rpmsg-gpio', '010001', '020001', '010000'],
    ['rpmsg-gpio-kind0', '000001', '010000', '000100'],
  ])('speaks %s', async (dialect, level, notification, wakeup) => {
    const { pins, ask, next } = await openChannel('rpmsg-io-0', `--dialect=${dialect}`);
    expect(await ask('0400050000000000')).toBe(level);
    await ask('0600000003000000');
    await pins.ask('set IMU_INT 1');
    expect(await next()).toBe(notification);
    expect(await ask('1000000001000000')).toBe(wakeup);
  });

  it('loses masked edges, or the direction query, where older firmware does', async () => {
    const srtm = await openChannel(
      'rpmsg-io-channel',
      '--dialect=srtm',
      '--get-direction=no',
      '--masked-edges=lost',
    );
    expect(await srtm.ask('05010000030000000000000000000000')).toBe('0501000103000000000000000200');
    await srtm.ask('05010000000000000000000003000000');
    await srtm.pins.ask('burst IMU_INT 5');
    expect(await srtm.next()).toBe('050100020000000000000000');
    expect(await srtm.pins.ask('stats')).toBe('requests 2 refused 1 events 1 dropped 4 malformed 0');
  });

  it('answers late when it hung, and not at all once it starts over', async () => {
    const { pins, ask, send, next } = await openChannel('rpmsg-io-0', '--dialect=rpmsg-gpio');
    await pins.ask('hang');
    expect(send('0400050000000000')).toBe(true);
    expect(await pins.ask('stats')).toBe('requests 0 refused 0 events 0 dropped 0 malformed 0');
    await pins.ask('resume');
    expect(await next()).toBe('010001');
    await ask('0500080001000000');
    await ask('0300080001000000');
    expect(await pins.ask('get LED_STATUS')).toBe('1');
    expect(await pins.ask('reset')).toBe('ok');
    expect(await pins.ask('get LED_STATUS')).toBe('0');
    expect(await pins.ask('stats')).toBe('requests 0 refused 0 events 0 dropped 0 malformed 0');
  });

  it('crashes when told to', async () => {
    const { coprocessor, pins } = await openChannel('rpmsg-io-0', '--dialect=rpmsg-gpio');
    const told: string[] = [];
    coprocessor.onExit((reason) => told.push(reason));
    pins.tell('crash');
    await vi.waitFor(() => expect(told.join()).toMatch(/SIGABRT/), 5000);
  });
});

describe('the host port as a metux device', () => {
  const BUFFERS = 4;
  const SLOT_BYTES = 16;

  it('has the config space, the names, and answers', async () => {
    const { coprocessor, pins } = await startHub('--dialect=metux');
    const vdev = coprocessor.bindVdev(0, 41, ALL_FEATURES);
    const config = Buffer.from(vdev.readConfig());
    expect([config.readUInt8(0), config.readUInt16LE(2), config.readUInt32LE(4)]).toEqual([
      1,
      16,
      config.length - 64,
    ]);
    expect(config.toString('latin1', 0x20, 0x2a)).toBe('sensor-hub');
    expect(config.toString('latin1', 0x40).split('\0').slice(0, 2)).toEqual(['IMU_INT', 'BARO_DRDY']);

    const [receive, transmit] = vdev.queues;
    if (receive === undefined || transmit === undefined) throw new Error('no queues');
    const address = vdev.buffers.allocate((BUFFERS + 1) * SLOT_BYTES, 16, 'messages');
    const window = vdev.memory.require('messages', address, (BUFFERS + 1) * SLOT_BYTES, 16);
    const at = vdev.memory.offset;
    const slotOf = new Map<number, number>();
    const post = (slot: number) =>
      slotOf.set(receive.add(0, 0, address + slot * SLOT_BYTES, SLOT_BYTES), slot);
    for (let slot = 0; slot < BUFFERS; slot++) post(slot);
    const got: string[] = [];
    vdev.onCall(() => {
      for (let head = receive.popUsed(); head >= 0; head = receive.popUsed()) {
        const slot = slotOf.get(head) as number;
        const from = at + slot * SLOT_BYTES;
        got.push(Buffer.from(window.u8.subarray(from, from + receive.usedBytes)).toString('hex'));
        post(slot);
      }
      while (transmit.popUsed() >= 0);
      if (receive.publish()) vdev.kick(0);
      receive.enableCalls();
    });
    receive.publish();
    vdev.driverOk();
    const ask = async (hex: string) => {
      window.u8.set(Buffer.from(hex, 'hex'), at + BUFFERS * SLOT_BYTES);
      transmit.add(address + BUFFERS * SLOT_BYTES, 8, 0, 0);
      if (transmit.publish()) vdev.kick(1);
      await vi.waitFor(() => expect(got.length).toBeGreaterThan(0), 5000);
      return got.shift();
    };
    expect(await ask('0100080000000000')).toBe('0180080000000000');
    expect(await ask('0300080001000000')).toBe('0380080000000000');
    expect(await pins.ask('get LED_STATUS')).toBe('1');
    await pins.ask('set TAMPER 1');
    await vi.waitFor(() => expect(got).toEqual(['1100070001000000']), 5000);
  });

  it('leaves the names out when they do not fit', async () => {
    const { coprocessor } = await startHub('--dialect=metux', '--lines=200');
    const config = Buffer.from(coprocessor.bindVdev(0, 41, ALL_FEATURES).readConfig());
    expect([config.length, config.readUInt16LE(2), config.readUInt32LE(4)]).toEqual([64, 200, 0]);
  });
});

describe('options that do not go together', () => {
  it.each([
    ['--dialect=srtm', '--lines=81', 'the dialect has no numbers for so many lines'],
    ['--dialect=rpmsg-gpio', '--lines=33', 'the dialect has no numbers for so many lines'],
    ['--dialect=metux', '--plain', '--plain goes with --dialect=virtio-gpio only'],
    ['--dialect=srtm', '--reply-mask=0xf000', '--reply-mask goes with --dialect=metux only'],
    ['--dialect=metux', '--masked-edges=lost', '--masked-edges goes with the rpmsg dialects only'],
    ['--dialect=rpmsg-io', '--get-direction=no', '--get-direction goes with --dialect=srtm only'],
    ['--dialect=srtm', '--directions=1-2', '--directions goes with --dialect=rpmsg-io only'],
    ['--dialect=srtm', '--dialect=morse', 'unknown option or bad value: --dialect=morse'],
    ['--dialect=metux', '--reply-mask=0x1', 'unknown option or bad value: --reply-mask=0x1'],
  ])('refuses %s %s', (first, second, reason) => {
    const fds = ['--memory-fd=0', '--kick-fd=0', '--call-fd=0', '--pins=unused'];
    const { status, stderr } = spawnSync(HUB, [...fds, first, second], { encoding: 'utf8' });
    expect(status).toBe(2);
    expect(stderr).toContain(reason);
  });
});

describe('the pins socket of the host port', () => {
  it('answers the longest name with a whole line', async () => {
    const { pins } = await startHub();
    const name = 'x'.repeat(250);
    expect(await pins.ask(`get ${name}`)).toBe(`error: no line ${name}`);
    expect(await pins.ask('get BUTTON')).toBe('1');
  });

  it('gives the place of a client that it cut off to the next one as new', async () => {
    const { pinsPath } = await startHub();
    const greedy = connectUnix(pinsPath);
    onTestFinished(() => closeSync(greedy));
    // It watches what it drives and reads nothing.
    sendMessage(greedy, Buffer.from('watch BUTTON\nburst BUTTON 4294967295\n'));
    await new Promise<void>((resolve) => {
      const poll = openPoll(greedy, POLL_DISCONNECT, () => {
        poll.close();
        resolve();
      });
    });
    expect(await new PinsClient(pinsPath).ask('get BUTTON')).toMatch(/^[01]$/);
  }, 30_000);
});
