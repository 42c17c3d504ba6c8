import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { Coprocessor } from '../../../src/coprocessor/coprocessor.ts';
import { isMetuxConfig, MetuxChip, WANTED_METUX_FEATURES } from '../../../src/coprocessor/dialects/metux.ts';
import { MetuxDevice } from '../../../src/exporters/virtio-gpio/metux-device.ts';
import { Poller } from '../../../src/virtqueue/poller.ts';
import { VIRTIO_ID_GPIO } from '../../../src/wire/virtio-gpio.ts';
import { PinsClient } from '../../cli/pins-client.ts';
import { MetuxGuest } from '../../exporters/virtio-gpio/metux-guest.ts';
import { serveOther } from '../../exporters/virtio-gpio/served-other.ts';
import { scratchFolder } from '../scratch-folder.ts';

const HUB = fileURLToPath(new URL('../../../build/Release/sensor-hub', import.meta.url));
const BASE = 0x2000_0000;
const DEADLINE = { timeout: 10_000, interval: 2 };

beforeAll(() => {
  if (!existsSync(HUB)) throw new Error(`${HUB} is not built: npm run build`);
});

/** The firmware library's metux device as a process, and our chip on it. */
async function hub(...args: string[]) {
  const pinsPath = join(scratchFolder(), 'pins');
  const coprocessor = new Coprocessor({
    name: 'hub',
    memory: [{ type: 'memfd', sizeBytes: 0x1_0000, deviceAddress: BASE }],
    resourceTable: { deviceAddress: BASE },
    doorbell: { type: 'eventfd' },
    exec: { command: [HUB, '--dialect=metux', `--pins=${pinsPath}`, ...args] },
    onLog: () => {},
  });
  onTestFinished(() => coprocessor.close());
  await coprocessor.start();
  const poller = new Poller();
  onTestFinished(() => poller.close());
  const vdev = coprocessor.bindVdev(0, VIRTIO_ID_GPIO, WANTED_METUX_FEATURES);
  expect(isMetuxConfig(vdev.readConfig())).toBe(true);
  const chip = await MetuxChip.open(vdev, { name: 'hub', where: 'm4', poller, requestTimeoutMs: 1000 });
  onTestFinished(() => chip.close());
  const ask = (what: (done: { complete(token: number, result: number, value: number): void }) => void) =>
    new Promise<string>((resolve) => {
      what({ complete: (_token, result, value) => resolve(`${result} ${value}`) });
      chip.flush();
    });
  const offset = (name: string): number => {
    const at = Array.from({ length: chip.lineCount }, (_, i) => chip.lineName(i)).indexOf(name);
    if (at < 0) throw new Error(`no line ${name}`);
    return at;
  };
  return { chip, ask, offset, pins: new PinsClient(pinsPath) };
}

describe.each(['0x8000', '0xf000'])('the firmware library’s metux device with reply mask %s', (mask) => {
  it('is driven, and tells of edges', async () => {
    const { chip, ask, offset, pins } = await hub(`--reply-mask=${mask}`);
    expect([chip.lineCount, chip.lineName(5), chip.lineName(13)]).toEqual([16, 'BUTTON', '']);
    const edges: string[] = [];
    chip.listen({
      edge: (edge) => edges.push(`${chip.lineName(edge.offset)} ${edge.level}`),
      availability: () => {},
    });
    const [button, led] = [offset('BUTTON'), offset('LED_STATUS')];
    expect(await ask((done) => chip.getDirection(led, done, 0))).toBe('0 2');
    expect(await ask((done) => chip.setValue(led, 1, done, 0))).toBe('0 0');
    expect(await pins.ask('get LED_STATUS')).toBe('0');
    expect(await ask((done) => chip.setDirection(led, 1, done, 0))).toBe('0 0');
    expect(await pins.ask('get LED_STATUS')).toBe('1');
    expect(await ask((done) => chip.setValue(led, 0, done, 0))).toBe('0 0');
    expect(await pins.ask('get LED_STATUS')).toBe('0');
    expect(await ask((done) => chip.getDirection(led, done, 0))).toBe('0 1');
    expect(await ask((done) => chip.setIrqType(button, 3, done, 0))).toBe('0 0');
    expect(await pins.ask('set BUTTON 0')).toBe('ok');
    await vi.waitFor(() => expect(edges).toEqual(['BUTTON 0']), DEADLINE);
    expect(await ask((done) => chip.getValue(button, done, 0))).toBe('0 0');
    expect(await pins.ask('set BUTTON 1')).toBe('ok');
    await vi.waitFor(() => expect(edges).toEqual(['BUTTON 0', 'BUTTON 1']), DEADLINE);
    expect(chip.counters).toMatchObject({ timeouts: 0, unexpectedReplies: 0, lostReplies: 0, malformed: 0 });
  });
});

it('a burst of edges of the firmware arrives with the last level, none twice', async () => {
  const { chip, ask, offset, pins } = await hub();
  const levels: number[] = [];
  chip.listen({ edge: ({ level }) => levels.push(level), availability: () => {} });
  const button = offset('BUTTON');
  expect(await ask((done) => chip.setIrqType(button, 3, done, 0))).toBe('0 0');
  expect(await pins.ask('burst BUTTON 501 0')).toMatch(/^ok/);
  const last = Number(await pins.ask('get BUTTON'));
  await vi.waitFor(() => expect(levels.at(-1)).toBe(last), DEADLINE);
  expect(levels.every((level, at) => at === 0 || level !== levels[at - 1])).toBe(true);
});

it('a guest with the metux driver uses a metux device through the service', async () => {
  const { chip, offset, pins } = await hub();
  const { connect } = serveOther(chip, (given) => new MetuxDevice(given), {
    lines: ['hub/BUTTON', 'hub/LED_STATUS'],
  });
  expect(offset('BUTTON')).toBe(5);
  const guest = new MetuxGuest(await connect(), 8);
  expect(await guest.ask(1, 0)).toBe('8001:0=0');
  expect(await guest.ask(5, 0)).toBe('8005:0=1');
  expect(await guest.ask(3, 1, 1)).toBe('8003:1=0');
  expect(await pins.ask('get LED_STATUS')).toBe('1');
  expect(await guest.ask(6, 1, 0)).toBe('8006:1=0');
  expect(await pins.ask('get LED_STATUS')).toBe('0');
  for (const level of [0, 1]) {
    expect(await pins.ask(`set BUTTON ${level}`)).toBe('ok');
    await vi.waitFor(() => expect(guest.levels.at(-1)).toBe(`11:0=${level}`), DEADLINE);
  }
  expect(guest.levels).toEqual(['11:0=0', '11:0=1']);
});

it('a firmware that hangs is lost, and tells when it answers again', async () => {
  const { chip, ask, pins } = await hub();
  const losses: string[] = [];
  chip.listen({ edge: () => {}, availability: (_available, reason) => losses.push(reason) });
  expect(await pins.ask('hang')).toBe('ok');
  for (let i = 0; i < 3; i++) expect(await ask((done) => chip.getValue(0, done, i))).toBe('2 0');
  await vi.waitFor(() => expect(losses).toHaveLength(1), DEADLINE);
  expect(losses[0]).toMatch(/does not answer: the last 3 requests got no answer within 1000 ms/);
  let answering = 0;
  expect(chip.onAnswering(() => answering++)).toBe(true);
  expect(await pins.ask('resume')).toBe('ok');
  await vi.waitFor(() => expect(answering).toBe(1), DEADLINE);
});
