import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LineInfo } from '../../src/wire/control.ts';
import { LINE_NAMES } from './lab/firmware.ts';
import { Mosquitto, type MosquittoOptions } from './lab/mosquitto.ts';
import { MosquittoSub, publish } from './lab/mosquitto-clients.ts';
import { Resources } from './lab/resources.ts';
import { SharedHub } from './lab/shared-hub.ts';

const GATEWAY = 'rproc-gpio/lab';
const HUB = `${GATEWAY}/hub`;
const SEGMENTS = LINE_NAMES.map((name, offset) => name || `line${offset}`);
/** The service's client identifier. */
const SERVICE = 'rproc-gpio-lab';

interface LineEvent {
  readonly seq: number;
  readonly edge: 'rising' | 'falling';
  readonly level: 0 | 1;
  readonly merged?: boolean;
}

describe.each([
  { what: 'MQTT 5', protocolVersion: 5 },
  { what: 'MQTT 3.1.1', protocolVersion: '3.1.1' },
])('a broker of $what that goes away and comes back', ({ protocolVersion }) => {
  let resources: Resources;
  let broker: Mosquitto;
  let sub: MosquittoSub;
  let hub: SharedHub;

  beforeEach(() => {
    resources = new Resources();
  });
  afterEach(() => resources.close());

  async function start(options: MosquittoOptions, mqtt: object = {}): Promise<void> {
    broker = resources.add(await Mosquitto.start(options));
    // The broker keeps the messages of an observer whose session lasts: it does not matter who is back first.
    sub = resources.add(
      await MosquittoSub.start(broker, `${GATEWAY}/#`, { durable: options.persistent === true }),
    );
    hub = await SharedHub.start(resources, {
      mqtt: {
        broker: broker.url,
        gateway: 'lab',
        protocolVersion,
        lines: ['hub/*'],
        retry: { minMs: 50, maxMs: 500 },
        topics: { event: { qos: 1 } },
        ...mqtt,
      },
    });
    for (const line of SEGMENTS) await sub.waitFor(`${HUB}/${line}/state`, /^/);
    for (const line of SEGMENTS) await sub.waitFor(`${HUB}/${line}/direction`, /^/);
    await sub.waitFor(`${GATEWAY}/status`, 'online');
    await mark();
  }

  /**
   * Resolves when the observer has got, and the broker knows so, what the broker got before: nothing of that is sent again after
   * a restart. A message of QoS 2 is delivered when the broker has confirmed its receipt, and earlier ones with it.
   */
  async function mark(): Promise<void> {
    const from = sub.count;
    await publish(broker, `${GATEWAY}/mark`, 'x', { qos: 2 });
    await sub.waitFor(`${GATEWAY}/mark`, 'x', { from });
  }

  /** The events of a line that came from message `from` on. QoS 1 may bring one twice, and then one that came already. */
  function events(line: string, from = 0): LineEvent[] {
    const bySeq = new Map<number, LineEvent>();
    for (const payload of sub.payloads(`${HUB}/${line}/event`, from)) {
      const event: LineEvent = JSON.parse(payload);
      const known = bySeq.get(event.seq);
      if (known) expect(event).toEqual(known);
      bySeq.set(event.seq, event);
    }
    return [...bySeq.values()];
  }

  /** Toggles another line; resolves when its event has come, and with it all those that came to pass before. */
  async function allToldSoFar(level: 0 | 1): Promise<void> {
    const from = sub.count;
    await hub.pins.set('LID_OPEN', level);
    await sub.waitFor(`${HUB}/LID_OPEN/event`, new RegExp(`"level":${level},`), { from });
  }

  /** Edges of a line that the service has heard of. */
  async function edgesOf(line: string): Promise<number> {
    const { stdout } = await hub.command('info', '--json', line);
    return (JSON.parse(stdout) as LineInfo).edges;
  }

  /** There was no room for all events: the oldest are missing, and counted. */
  async function expectOneRunOfEvents(line: string): Promise<void> {
    const seqs = events(line).map(({ seq }) => seq);
    const edges = await edgesOf(line);
    const dropped = (await hub.status()).mqtt?.counters.eventsDropped ?? 0;
    expect(dropped).toBeGreaterThan(0);
    expect(seqs.length + dropped).toBe(edges);
    // The newest that there was room for, less the one of the other line.
    expect(seqs.slice(-99)).toEqual(Array.from({ length: 99 }, (_, index) => edges - 98 + index));
  }

  it('gets the last state of each line once, before any newer one, and then the newer ones', async () => {
    await start({ persistent: true });
    await sub.waitFor(`${HUB}/BUTTON/state`, 'ON');
    await broker.stop();
    const from = sub.count;
    // Many changes of one line, one of another, none of the rest.
    await hub.pins.burst('BUTTON', 21, 1000);
    await hub.pins.set('LID_OPEN', 1);
    await broker.start();
    await sub.waitFor(`${HUB}/BUTTON/state`, 'OFF', { from });
    await sub.waitFor(`${HUB}/LID_OPEN/state`, 'ON', { from });
    await sub.waitFor(`${GATEWAY}/status`, 'online', { from });
    await hub.pins.set('BUTTON', 1);
    await sub.waitFor(`${HUB}/BUTTON/state`, 'ON', { from });
    await mark();

    expect(sub.payloads(`${HUB}/BUTTON/state`, from)).toEqual(['OFF', 'ON']);
    expect(sub.payloads(`${HUB}/LID_OPEN/state`, from)).toEqual(['ON']);
    for (const line of SEGMENTS) {
      if (line !== 'BUTTON') expect(sub.payloads(`${HUB}/${line}/state`, from)).toHaveLength(1);
    }
    // Every edge of the outage, and the one after it.
    expect(events('BUTTON', from).map(({ level }) => level)).toEqual(
      Array.from({ length: 22 }, (_, index) => index % 2),
    );
    expect(events('LID_OPEN', from)).toHaveLength(1);
  });

  it('gets all states anew when it has forgotten them in a crash', async () => {
    await start({});
    await broker.kill();
    await hub.pins.set('TAMPER', 1);
    await broker.start();
    await broker.subscribed(sub.clientId, `${GATEWAY}/#`);
    const late = resources.add(await MosquittoSub.start(broker, `${GATEWAY}/#`));
    for (const line of SEGMENTS) await late.waitFor(`${HUB}/${line}/state`, /^/);
    await late.waitFor(`${HUB}/TAMPER/state`, 'ON');
    await late.waitFor(`${HUB}/status`, 'online');
    await late.waitFor(`${GATEWAY}/status`, 'online');
    for (const line of SEGMENTS) {
      const states = late.messages.filter(({ topic }) => topic === `${HUB}/${line}/state`);
      expect(states).toHaveLength(1);
    }
  });

  it('takes commands again, and tells the first edge after the reconnect', async () => {
    await start({ persistent: true });
    await broker.stop();
    await broker.start();
    // As soon as the service has subscribed: nothing of what it owes the broker need be sent by then.
    await broker.process.stderr.waitFor(new RegExp(`^${SERVICE} \\d ${GATEWAY}/`));
    const from = sub.count;
    await hub.pins.set('PROX_INT', 1);
    await publish(broker, `${HUB}/LED_STATUS/set`, 'ON');
    await hub.pins.waitForLevel('LED_STATUS', 1);
    await sub.waitFor(`${HUB}/LED_STATUS/result`, /"ok":true/, { from });
    await sub.waitFor(`${HUB}/PROX_INT/event`, /"rising"/, { from });
    await sub.waitFor(`${HUB}/PROX_INT/state`, 'ON', { from });
  });

  it('loses no edge of a burst that goes on meanwhile', async () => {
    await start({ persistent: true });
    const burst = hub.pins.burst('BUTTON', 3001, 500);
    await sub.waitFor(`${HUB}/BUTTON/event`, /"seq":300,/);
    await broker.stop();
    await broker.start();
    await burst;
    await allToldSoFar(1);

    const told = events('BUTTON');
    const seqs = told.map(({ seq }) => seq);
    const edges = await edgesOf('BUTTON');
    expect((await hub.status()).mqtt?.counters.eventsDropped).toBe(0);
    expect(seqs).toEqual(Array.from({ length: edges }, (_, index) => index + 1));
    // The chip merges edges when a busy machine keeps the service from taking them; it says so.
    if (!told.some(({ merged }) => merged)) expect(edges).toBe(3001);
    expect(told.at(-1)).toMatchObject({ edge: 'falling', level: 0 });
    await sub.waitFor(`${HUB}/BUTTON/state`, 'OFF');
    expect(sub.payloads(`${HUB}/BUTTON/state`).at(-1)).toBe('OFF');
  });

  it('misses the oldest events of a long outage, as many as the counter says', async () => {
    await start({ persistent: true }, { eventQueueLimit: 100 });
    await broker.stop();
    await hub.pins.burst('BUTTON', 1001, 200);
    await broker.start();
    await allToldSoFar(1);

    await expectOneRunOfEvents('BUTTON');
  });

  it('misses the oldest events when it stalls, as many as the counter says, and has the last states', async () => {
    await start({ persistent: true }, { eventQueueLimit: 100 });
    broker.process.kill('SIGSTOP');
    try {
      // More than may be under way without a confirmation: 20 to a broker of MQTT 5 that says so, 4096 to one that does not.
      await hub.pins.burst('BUTTON', 8001, 100);
    } finally {
      broker.process.kill('SIGCONT');
    }
    await allToldSoFar(1);
    await expectOneRunOfEvents('BUTTON');
    await mark();
    const states = sub.payloads(`${HUB}/BUTTON/state`);
    expect(states.at(-1)).toBe('OFF');
    // A few that were under way, and the last: not each of them.
    expect(states.length).toBeLessThan(1000);
  });
});
