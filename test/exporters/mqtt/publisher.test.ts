import mqttPacket, { type IPublishPacket, type Packet } from 'mqtt-packet';
import { describe, expect, it, vi } from 'vitest';
import { LEVEL_BIT } from '../../../src/exporters/mqtt/line-ring.ts';
import type { Qos } from '../../../src/exporters/mqtt/mqtt-options.ts';
import { SharedCounters } from '../../../src/exporters/mqtt/shared-tables.ts';
import { EventQueue } from '../../../src/exporters/mqtt/worker/event-queue.ts';
import { encodeTopic } from '../../../src/exporters/mqtt/worker/publish-encoder.ts';
import type {
  BrokerLimits,
  Message,
  PublishStream,
} from '../../../src/exporters/mqtt/worker/publish-stream.ts';
import { Publisher } from '../../../src/exporters/mqtt/worker/publisher.ts';
import { StateTopics } from '../../../src/exporters/mqtt/worker/state-topics.ts';

/** A connection that takes what it is told to take. */
class FakeStream implements PublishStream {
  readonly isVersion5 = true;
  readonly limits: BrokerLimits;
  readonly packets: Packet[] = [];
  writes = 0;
  /** Bytes of the largest write. */
  largest = 0;
  /** Writes that the operating system has not taken; null when it takes all at once. */
  pending: (() => void)[] | null = null;
  readonly #parser = mqttPacket.parser({ protocolVersion: 5 });

  constructor(limits: Partial<BrokerLimits> = {}) {
    this.limits = {
      receiveMaximum: 100,
      maximumQos: 2,
      retainAvailable: true,
      maximumPacketBytes: 1e6,
      ...limits,
    };
    this.#parser.on('packet', (packet) => this.packets.push(packet));
  }

  write(packets: Uint8Array, done: (() => void) | null): void {
    this.writes++;
    this.largest = Math.max(this.largest, packets.length);
    this.#parser.parse(Buffer.from(packets));
    if (done === null) return;
    if (this.pending === null) queueMicrotask(done);
    else this.pending.push(done);
  }

  /** The operating system takes the first write that waits. */
  async drain(): Promise<void> {
    this.pending?.shift()?.();
    await Promise.resolve();
  }

  get publishes(): IPublishPacket[] {
    return this.packets.filter((packet) => packet.cmd === 'publish') as IPublishPacket[];
  }

  get texts(): string[] {
    return this.publishes.map(({ topic, payload }) => {
      const text = payload.toString();
      return topic === 'event' ? `event ${(JSON.parse(text) as { seq: number }).seq}` : `${topic} ${text}`;
    });
  }
}

function setUp(eventQos: Qos = 0, stateQos: Qos = 1, eventLimit = 100_000) {
  const states = new StateTopics(2);
  const events = new EventQueue(eventLimit);
  const counters = new SharedCounters();
  const refused: string[] = [];
  const levels: (string | null)[] = ['OFF', null];
  const publisher = new Publisher({
    stateTopics: [encodeTopic('a', stateQos, true), encodeTopic('b', stateQos, true)],
    statePayload: (topic) => levels[topic] as string | null,
    eventTopics: [encodeTopic('event', eventQos, false)],
    states,
    events,
    counters,
    onRefused: (reason) => refused.push(reason),
  });
  const push = (from: number, to: number) => {
    for (let seq = from; seq <= to; seq++) events.push(LEVEL_BIT, seq, seq);
  };
  return { states, events, counters, refused, levels, publisher, push };
}

function message(payload: string, qos: Qos, kind: Message['kind'] = 'answer'): Message {
  return {
    topic: encodeTopic('result', qos, kind === 'announcement'),
    topicName: 'result',
    payload,
    payloadBytes: payload.length,
    kind,
  };
}

describe('what is published next', () => {
  it('is: states, answers, announcements, events', () => {
    const { publisher, push } = setUp();
    push(1, 2);
    publisher.answer(message('answer', 0));
    publisher.announce([message('announcement', 1, 'announcement')]);
    const stream = new FakeStream();
    publisher.connected(stream);
    expect(stream.texts).toEqual(['a OFF', 'result answer', 'result announcement', 'event 1', 'event 2']);
    expect(stream.writes).toBe(1);
  });

  it('is not held up by states that are to be confirmed, where the broker confirms nothing', async () => {
    const { publisher, states, levels } = setUp();
    const stream = new FakeStream({ receiveMaximum: 1 });
    publisher.connected(stream);
    levels[1] = 'ON';
    publisher.confirmed(stream.publishes[0]!.messageId!, 0);
    publisher.pump();
    expect(stream.texts).toEqual(['a OFF', 'b ON']);
    // Both writes are taken.
    await Promise.resolve();
    levels[0] = 'ON';
    states.mark(0);
    publisher.answer(message('answer', 0));
    publisher.pump();
    expect(stream.texts).toEqual(['a OFF', 'b ON', 'result answer']);
  });

  it('is in turn states and the rest, where each batch could be full of states', async () => {
    const { publisher, states, levels } = setUp(0, 0);
    const stream = new FakeStream();
    publisher.connected(stream);
    await stream.drain();
    stream.pending = [];
    // As long as a batch.
    const change = (round: number): void => {
      for (const topic of [0, 1]) {
        levels[topic] = `${round}${'x'.repeat(40_000)}`;
        states.mark(topic);
      }
      publisher.answer(message(`answer ${round}`, 0));
    };
    for (let round = 1; round <= 6; round++) {
      change(round);
      publisher.pump();
      await stream.drain();
    }
    const answers = stream.texts.filter((text) => text.startsWith('result'));
    expect(answers.length).toBeGreaterThanOrEqual(4);
    publisher.disconnected();
  });

  it('leaves nothing with a connection that takes nothing but two writes of bounded size', async () => {
    const { publisher, push, events } = setUp();
    push(1, 10_000);
    const stream = new FakeStream();
    stream.pending = [];
    publisher.connected(stream);
    for (let i = 0; i < 10; i++) publisher.pump();
    expect(stream.writes).toBe(2);
    expect(stream.largest).toBeLessThan(33_000);
    const before = events.waiting;
    await stream.drain();
    expect(stream.writes).toBe(3);
    expect(events.waiting).toBeLessThan(before);
  });

  it('counts what was taken, and sends again what was not', async () => {
    const { publisher, push, counters } = setUp();
    push(1, 1000);
    const first = new FakeStream();
    first.pending = [];
    publisher.connected(first);
    await first.drain();
    // The state has not been confirmed.
    const taken = counters.get('published');
    expect(taken).toBeGreaterThan(100);
    publisher.disconnected();
    await first.drain();
    expect(counters.get('published')).toBe(taken);
    const second = new FakeStream();
    publisher.connected(second);
    await Promise.resolve();
    expect(second.texts.slice(0, 2)).toEqual(['a OFF', `event ${taken + 1}`]);
  });

  it('keeps to what the broker takes: QoS, retaining, messages at a time', () => {
    const { publisher, push } = setUp(2);
    push(1, 5);
    const low = new FakeStream({ maximumQos: 0, retainAvailable: false });
    publisher.connected(low);
    expect(low.publishes.map(({ qos, retain }) => [qos, retain])).toEqual(
      Array.from({ length: 6 }, () => [0, false]),
    );
    publisher.disconnected();
    const narrow = new FakeStream({ receiveMaximum: 2 });
    publisher.connected(narrow);
    expect(narrow.texts).toEqual(['a OFF', 'event 1']);
    publisher.confirmed(narrow.publishes[0]?.messageId as number, 0);
    publisher.pump();
    expect(narrow.texts).toEqual(['a OFF', 'event 1', 'event 2']);
  });

  it('keeps to the size of packets that the broker takes, and says so once', () => {
    const { publisher, refused } = setUp();
    publisher.announce([message('x'.repeat(500), 1, 'announcement'), message('short', 1, 'announcement')]);
    publisher.answer(message('y'.repeat(500), 0));
    const stream = new FakeStream({ maximumPacketBytes: 200 });
    publisher.connected(stream);
    expect(stream.texts).toEqual(['a OFF', 'result short']);
    expect(refused).toHaveLength(1);
    expect(refused[0]).toContain('packets of 200');
  });

  it('lets states have their turn only now and then while events wait', async () => {
    const clock = vi.spyOn(performance, 'now').mockReturnValue(1000);
    const { publisher, push, states, levels } = setUp(1);
    const stream = new FakeStream({ receiveMaximum: 10 });
    publisher.connected(stream);
    push(1, 100);
    publisher.pump();
    const confirmed = new Set<number>();
    // The state changes with each confirmation; time passes once.
    for (let i = 0; i < 90; i++) {
      if (i === 50) clock.mockReturnValue(1010);
      levels[0] = i % 2 === 0 ? 'ON' : 'OFF';
      states.mark(0);
      const next = stream.publishes.findIndex((_, at) => !confirmed.has(at));
      confirmed.add(next);
      publisher.confirmed(stream.publishes[next]?.messageId as number, 0);
      await Promise.resolve();
      publisher.pump();
    }
    clock.mockRestore();
    const texts = stream.texts.map((text) => text.split(' ')[0]);
    expect(texts.filter((topic) => topic === 'a')).toHaveLength(2);
    expect(texts.filter((topic) => topic === 'event')).toHaveLength(98);
  });

  it('completes QoS 2 in its two steps', () => {
    const { publisher, push, counters } = setUp(2, 0);
    push(1, 1);
    const stream = new FakeStream();
    publisher.connected(stream);
    const id = stream.publishes.find(({ qos }) => qos === 2)?.messageId as number;
    publisher.received(id, 0);
    expect(stream.packets.at(-1)).toMatchObject({ cmd: 'pubrel', messageId: id });
    expect(counters.get('eventsSettled')).toBe(0);
    publisher.confirmed(id, 0);
    publisher.confirmed(id, 0);
    publisher.received(id, 0);
    expect(counters.get('eventsSettled')).toBe(1);
  });

  it('counts events that the broker refuses as dropped, and says why once', () => {
    const { publisher, push, counters, refused } = setUp(1, 0);
    push(1, 3);
    const stream = new FakeStream();
    publisher.connected(stream);
    for (const { qos, messageId } of stream.publishes)
      if (qos === 1) publisher.confirmed(messageId as number, 0x87);
    expect(counters.get('eventsDropped')).toBe(3);
    expect(counters.get('refusedPublications')).toBe(3);
    expect(refused).toEqual([
      'the broker refuses what we publish on event: not authorized; see its access rules',
    ]);
  });

  it('takes any confirmation, also those of nothing', () => {
    const { publisher } = setUp();
    const stream = new FakeStream();
    publisher.connected(stream);
    for (const id of [0, 99, 65_535]) {
      publisher.confirmed(id, 0);
      publisher.received(id, 0);
    }
    expect(stream.packets).toHaveLength(1);
  });

  it('sends an answer again that was not confirmed; announcements are made anew by others', () => {
    const { publisher } = setUp();
    const first = new FakeStream();
    publisher.connected(first);
    publisher.answer(message('one', 1));
    publisher.answer(message('two', 1));
    publisher.announce([message('announcement', 1, 'announcement')]);
    publisher.pump();
    publisher.confirmed(first.publishes[1]?.messageId as number, 0);
    publisher.disconnected();
    const second = new FakeStream();
    publisher.connected(second);
    expect(second.texts).toEqual(['a OFF', 'result two']);
  });

  it('waits until a condition holds, or nobody can be published to', async () => {
    const { publisher } = setUp();
    await publisher.until(() => false, 60_000);
    const stream = new FakeStream();
    publisher.connected(stream);
    const idle = publisher.until(() => publisher.isIdle, 60_000);
    publisher.confirmed(stream.publishes[0]?.messageId as number, 0);
    await Promise.resolve();
    await idle;
    const never = publisher.until(() => false, 60_000);
    publisher.disconnected();
    await never;
    publisher.connected(new FakeStream());
    await publisher.until(() => false, 1);
  });
});
