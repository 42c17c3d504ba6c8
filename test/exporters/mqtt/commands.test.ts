import type { IPublishPacket } from 'mqtt-packet';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAX_COMMANDS_PER_LINE } from '../../../src/exporters/mqtt/worker/command-intake.ts';
import type { Completion } from '../../../src/gpio/chip.ts';
import { SimulatedChip } from '../../../src/testing/simulated-chip.ts';
import { hub, mqttOptions, type Running, startExporter, until } from './mqtt-fixture.ts';
import { ScriptedBroker, type ScriptedSession } from './scripted-broker.ts';

const HUB = 'rproc-gpio/gw/hub';

/** A chip that keeps values to itself until it is told to answer. */
class SlowChip extends SimulatedChip {
  readonly #waiting: (() => void)[] = [];
  isSlow = true;

  override setValue(offset: number, level: number, done: Completion, token: number): void {
    if (!this.isSlow) return super.setValue(offset, level, done, token);
    this.#waiting.push(() => super.setValue(offset, level, done, token));
  }

  answer(): void {
    this.isSlow = false;
    for (const answer of this.#waiting.splice(0)) answer();
  }
}

describe('commands', () => {
  let broker: ScriptedBroker;
  let running: Running;
  let session: ScriptedSession;

  const start = async (chip: SimulatedChip = hub(), changes: Parameters<typeof mqttOptions>[1] = {}) => {
    running = await startExporter(mqttOptions(broker.url, changes), chip);
    session = await broker.session(0);
    await session.sees((s) => s.messages.some((text) => text.includes('/RELAY/direction')), 'states');
  };
  const send = (
    topic: string,
    payload: string | Buffer,
    properties: IPublishPacket['properties'] = {},
    retain = false,
  ) => session.send({ cmd: 'publish', topic, payload, qos: 0, dup: false, retain, properties });
  const answers = (topic: string) =>
    session.publishes
      .filter((packet) => packet.topic === topic)
      .map(({ payload, properties }) => ({
        ...(JSON.parse(payload.toString()) as Record<string, unknown>),
        ...(properties?.correlationData === undefined ? {} : { id: properties.correlationData.toString() }),
      }));

  beforeEach(async () => {
    broker = await ScriptedBroker.start();
  });
  afterEach(async () => {
    await running.exporter.close();
    await broker.close();
  });

  it('are answered on the response topic, with their correlation data', async () => {
    await start();
    const properties = { responseTopic: 'node-red/answers', correlationData: Buffer.from('17') };
    send(`${HUB}/LED/set`, 'ON', properties);
    send(`${HUB}/LED/set`, 'nonsense', { ...properties, correlationData: Buffer.from('18') });
    send(`${HUB}/LED/get`, '', { responseTopic: 'node-red/answers' });
    await session.sees(() => answers('node-red/answers').length === 3, 'three answers');
    expect(answers('node-red/answers')).toMatchObject([
      { command: 'set', ok: false, id: '18' },
      { command: 'set', ok: true, level: 1, id: '17' },
      { command: 'get', ok: true, level: 1 },
    ]);
    expect(answers(`${HUB}/LED/result`)).toEqual([]);
  });

  for (const [responseTopic, words] of [
    ['a/+/b', 'wildcard'],
    ['$SYS/x', '$'],
    ['rproc-gpio/gw/status', 'ours'],
    ['t'.repeat(1025), '1025 bytes'],
  ] as const) {
    it(`are refused on the line's own topic when the response topic is ${responseTopic.slice(0, 20)}`, async () => {
      const sim = hub();
      await start(sim);
      send(`${HUB}/LED/set`, 'ON', { responseTopic });
      await session.sees(() => answers(`${HUB}/LED/result`).length === 1, 'the answer');
      expect(answers(`${HUB}/LED/result`)[0]).toMatchObject({ command: 'set', ok: false });
      expect(JSON.stringify(answers(`${HUB}/LED/result`))).toContain(words);
      expect(sim.level(1)).toBe(0);
      expect(running.exporter.status.counters.badCommands).toBe(1);
    });
  }

  it('are executed one after the other, and refused when too many of a line are under way', async () => {
    const chip = new SlowChip('hub', 4, ['INT', 'LED', 'BUTTON', 'RELAY']);
    await start(chip);
    const topic = `${HUB}/LED/result`;
    for (let i = 0; i < MAX_COMMANDS_PER_LINE + 10; i++) send(`${HUB}/LED/set`, i % 2 === 0 ? 'ON' : 'OFF');
    send(`${HUB}/BUTTON/get`, '');
    await session.sees(() => answers(topic).length === 10, 'ten refusals');
    expect(new Set(answers(topic).map(({ reason }: Record<string, unknown>) => reason))).toEqual(
      new Set(['too many commands at once']),
    );
    // Another line is not held up.
    await session.sees(() => answers(`${HUB}/BUTTON/result`).length === 1, 'the other line');
    expect(running.exporter.status.counters.refusedCommands).toBe(10);
    chip.answer();
    await session.sees(() => answers(topic).length === MAX_COMMANDS_PER_LINE + 10, 'all answers');
    const outcomes = answers(topic).slice(10) as { level: number }[];
    expect(outcomes.map(({ level }) => level)).toEqual(outcomes.map((_, i) => (i % 2 === 0 ? 1 : 0)));
  });

  it('come in floods: every one is answered, the lines stay in reach of others', async () => {
    const sim = hub();
    await start(sim);
    const count = 20_000;
    let turns = 0;
    let longestMs = 0;
    let last = performance.now();
    const tick = setInterval(() => {
      longestMs = Math.max(longestMs, performance.now() - last);
      last = performance.now();
      turns++;
    }, 1);
    for (let i = 0; i < count; i += 100) {
      for (let j = i; j < i + 100; j++) send(`${HUB}/LED/set`, j % 2 === 0 ? 'ON' : 'OFF');
      await new Promise((resolve) => setImmediate(resolve));
    }
    const topic = `${HUB}/LED/result`;
    await session.sees(() => running.exporter.status.counters.commands === count, 'all commands');
    await session.sees(
      (s) => s.publishes.filter((packet) => packet.topic === topic).length === count,
      'all answers',
    );
    clearInterval(tick);
    const { refusedCommands, badCommands } = running.exporter.status.counters;
    const refused = answers(topic).filter(({ ok }: Record<string, unknown>) => ok === false).length;
    expect([refusedCommands, badCommands]).toEqual([refused, 0]);
    expect(turns).toBeGreaterThan(10);
    expect(longestMs).toBeLessThan(2000);
  });

  it('come faster than the broker takes answers: those that do not fit are lost, and it is said', async () => {
    await start();
    session.socket.pause();
    const isSaid = () => running.log.some((text) => text.includes('answers to commands are lost'));
    while (!isSaid()) {
      for (let i = 0; i < 200; i++) send(`${HUB}/LED/set`, 'neither');
      await new Promise((resolve) => setImmediate(resolve));
    }
    session.socket.resume();
    send(`${HUB}/BUTTON/get`, '');
    await until(() => running.exporter.status.counters.badCommands > 0, 'the counter');
    await session.sees(() => answers(`${HUB}/LED/result`).length > 1000, 'the others');
    // Once for all that are lost.
    expect(running.log.filter((text) => text.includes('answers to commands are lost'))).toHaveLength(1);
  });

  it('are not done when they were retained', async () => {
    const sim = hub();
    await start(sim);
    send(`${HUB}/LED/set`, 'ON', {}, true);
    send(`${HUB}/LED/get`, '');
    await session.sees(() => answers(`${HUB}/LED/result`).length === 1, 'the answer to the second one');
    expect(running.exporter.status.counters).toMatchObject({ ignoredRetained: 1, commands: 1 });
    expect(sim.level(1)).toBe(0);
  });

  it('are answered when the chip is there no more', async () => {
    const sim = hub();
    await start(sim);
    const lines = running.chip;
    Object.defineProperty(sim, 'available', { value: false, configurable: true });
    lines.availability(false, 'the firmware crashed');
    await session.sees((s) => s.messages.includes(`${HUB}/status=offline`), 'the status of the chip');
    expect(session.messages).not.toContain('rproc-gpio/gw/status=offline');
    send(`${HUB}/INT/get`, 'x');
    await session.sees(() => answers(`${HUB}/INT/result`).length === 1, 'an answer');
    Object.defineProperty(sim, 'available', { value: true, configurable: true });
    lines.availability(true, 'it is back');
    await session.sees(
      (s) => s.messages.filter((text) => text === `${HUB}/status=online`).length === 2,
      'online',
    );
  });

  it('leave a line driven as it was told when the exporter ends', async () => {
    const sim = hub();
    await start(sim);
    send(`${HUB}/LED/set`, '{"value":"ON","durationMs":3600000}');
    await until(() => sim.level(1) === 1, 'the pulse');
    await running.exporter.close();
    expect(sim.level(1)).toBe(0);
    expect(running.chip.lines[1]?.directionName).toBe('out');
  });
});
