import { connect as connectSocket, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import { afterEach, describe, expect, it } from 'vitest';
import { MAX_PACKET_BYTES, PacketSizes } from '../../../src/exporters/mqtt/broker-connection.ts';
import {
  BrokerStore,
  MAX_RETAINED_BYTES,
  MAX_RETAINED_MESSAGES,
  matches,
} from '../../../src/exporters/mqtt/broker-store.ts';
import {
  EmbeddedBroker,
  type EmbeddedBrokerOptions,
  MAX_CONNECTIONS,
  MAX_SUBSCRIPTIONS,
} from '../../../src/exporters/mqtt/embedded-broker.ts';

const owned: (() => unknown)[] = [];
afterEach(async () => {
  for (const release of owned.splice(0).reverse()) await release();
});

const log: string[] = [];
async function listen(options: Partial<EmbeddedBrokerOptions> = {}): Promise<EmbeddedBroker> {
  log.length = 0;
  const onLog = (level: string, message: string) => void log.push(`${level} ${message}`);
  const broker = await EmbeddedBroker.listen({ port: 0, bind: '127.0.0.1', onLog, ...options });
  owned.push(() => broker.close());
  return broker;
}

async function client(port: number, options: IClientOptions = {}): Promise<MqttClient> {
  const opened = await connectAsync({ host: '127.0.0.1', port, reconnectPeriod: 0, ...options });
  opened.on('error', () => {});
  owned.push(() => opened.endAsync(true));
  return opened;
}

interface Emitter {
  once(name: string, listener: (...values: never[]) => void): unknown;
}
/** The values of the next event of that name; an `error` meanwhile, such as a reset connection, is none of its business. */
function once<Values extends unknown[]>(emitter: object, name: string): Promise<Values> {
  return new Promise((resolve) =>
    (emitter as Emitter).once(name, (...values) => resolve(values as unknown as Values)),
  );
}

/** Subscribes, and collects `topic payload` of what comes. */
async function subscriber(port: number, filters: string[], options: IClientOptions = {}, qos: 0 | 1 | 2 = 1) {
  const subscribed = await client(port, options);
  const received: string[] = [];
  let wake: (() => void) | null = null;
  subscribed.on('message', (topic, payload) => {
    received.push(`${topic} ${payload.toString()}`);
    wake?.();
  });
  await subscribed.subscribeAsync(filters, { qos });
  const until = async (isDone: () => boolean) => {
    while (!isDone()) await new Promise<void>((resolve) => (wake = resolve));
  };
  return {
    client: subscribed,
    received,
    until,
    count: (count: number) => until(() => received.length >= count),
  };
}

async function socket(port: number): Promise<Socket> {
  const opened = connectSocket({ host: '127.0.0.1', port, noDelay: true });
  opened.on('error', () => {});
  owned.push(() => opened.destroy());
  await once(opened, 'connect');
  return opened;
}

const word = (value: number) => [value >> 8, value & 0xff];
const text = (value: string) => [...word(Buffer.byteLength(value)), ...Buffer.from(value)];
/** A packet with a short body. */
const packet = (type: number, body: readonly number[]) => Buffer.from([type, body.length, ...body]);
const CONNECT = (id: string) => packet(0x10, [...text('MQTT'), 4, 2, 0, 0, ...text(id)]);
const SUBSCRIBE = (filter: string, qos = 0) => packet(0x82, [0, 1, ...text(filter), qos]);

/** Whether somebody else is still served. */
async function serves(broker: EmbeddedBroker): Promise<void> {
  const { client: both, received, count } = await subscriber(broker.port, ['alive']);
  await both.publishAsync('alive', 'yes', { qos: 1 });
  await count(1);
  expect(received).toEqual(['alive yes']);
  await both.endAsync();
}

describe('EmbeddedBroker', () => {
  it.each([{ protocolVersion: 3, protocolId: 'MQIsdp' }, { protocolVersion: 4 }] as const)(
    'speaks MQTT: $protocolVersion',
    async (options) => {
      const broker = await listen();
      const { received, count } = await subscriber(broker.port, ['a/+', 'b/#'], options, 2);
      const publisher = await client(broker.port, options);
      for (const qos of [0, 1, 2] as const) await publisher.publishAsync('a/x', `qos ${qos}`, { qos });
      await publisher.publishAsync('a/x/y', 'not subscribed to');
      await publisher.publishAsync('b', 'parent');
      await publisher.publishAsync('b/c/d', 'deep');
      await count(5);
      expect(received).toEqual(['a/x qos 0', 'a/x qos 1', 'a/x qos 2', 'b parent', 'b/c/d deep']);
    },
  );

  it('retains the last message of a topic, until an empty one comes', async () => {
    const broker = await listen();
    const publisher = await client(broker.port);
    await publisher.publishAsync('s/1', 'old', { qos: 1, retain: true });
    await publisher.publishAsync('s/1', 'new', { qos: 1, retain: true });
    await publisher.publishAsync('s/2', 'gone', { qos: 1, retain: true });
    await publisher.publishAsync('s/2', '', { qos: 1, retain: true });
    await publisher.publishAsync('s/3', 'not retained', { qos: 1 });
    expect(broker.retainedCount).toBe(1);
    const late = await client(broker.port);
    const first = once<[string, Buffer, { retain: boolean }]>(late, 'message');
    await late.subscribeAsync('s/#');
    const [topic, payload, { retain }] = await first;
    expect([topic, String(payload), retain]).toEqual(['s/1', 'new', true]);
    const live = once<[string, Buffer, { retain: boolean }]>(late, 'message');
    await publisher.publishAsync('s/1', 'live', { qos: 1, retain: true });
    expect((await live)[2].retain).toBe(false);
  });

  it.each([0, 1, 2] as const)('loses no retained message that others follow at once: QoS %i', async (qos) => {
    const broker = await listen();
    const { received, count } = await subscriber(broker.port, ['#']);
    const publisher = await client(broker.port);
    const published: Promise<unknown>[] = [];
    for (let i = 0; i < 100; i++) {
      published.push(publisher.publishAsync('state', `s${i}`, { qos, retain: true }));
      published.push(publisher.publishAsync('event', `e${i}`, { qos: 0 }));
    }
    await Promise.all(published);
    await count(200);
    for (const [topic, letter] of [
      ['state', 's'],
      ['event', 'e'],
    ]) {
      const expected = Array.from({ length: 100 }, (_, i) => `${topic} ${letter}${i}`);
      expect(received.filter((each) => each.startsWith(topic!))).toEqual(expected);
    }
  });

  it('publishes the will of a client that vanishes, not of one that says goodbye', async () => {
    const broker = await listen();
    const { received, count } = await subscriber(broker.port, ['will/#']);
    const will = (topic: string) => ({
      will: { topic, payload: Buffer.from('offline'), qos: 1 as const, retain: true },
    });
    const polite = await client(broker.port, will('will/polite'));
    const lost = await client(broker.port, will('will/lost'));
    await polite.endAsync();
    lost.stream.destroy();
    await count(1);
    expect(received).toEqual(['will/lost offline']);
    expect(broker.retainedCount).toBe(1);
  });

  it('refuses MQTT 5, and says so once', async () => {
    const broker = await listen();
    for (let attempt = 0; attempt < 2; attempt++) {
      await expect(client(broker.port, { protocolVersion: 5 })).rejects.toMatchObject({ code: 1 });
    }
    expect(log.filter((line) => line.includes('wants MQTT 5'))).toHaveLength(1);
    await serves(broker);
  });

  it('keeps no sessions', async () => {
    const broker = await listen();
    const session = { clientId: 'me', clean: false };
    const first = await subscriber(broker.port, ['a'], session);
    await first.client.endAsync();
    const publisher = await client(broker.port);
    await publisher.publishAsync('a', 'for nobody', { qos: 1 });
    const again = connectSocket({ host: '127.0.0.1', port: broker.port });
    owned.push(() => again.destroy());
    again.write(packet(0x10, [...text('MQTT'), 4, 0, 0, 0, ...text('me')]));
    const [connack] = await once<[Buffer]>(again, 'data');
    expect([...connack]).toEqual([0x20, 2, 0, 0]);
  });

  it('says what to do when it cannot listen', async () => {
    const broker = await listen();
    const { port } = broker;
    const onLog = () => {};
    const listening = (bind: string, at = port) => EmbeddedBroker.listen({ port: at, bind, onLog });
    const inUse = {
      code: 'ERR_MQTT_LISTEN',
      message: `the embedded MQTT broker: port ${port} is in use: another broker runs there; use broker: mqtt://127.0.0.1:${port}, or another port`,
    };
    await expect(listening('127.0.0.1')).rejects.toMatchObject(inUse);
    await expect(listening('0.0.0.0')).rejects.toMatchObject(inUse);
    await expect(listening('192.0.2.1', 0)).rejects.toThrow(
      '192.0.2.1 is no address of this machine; use bind:',
    );
    await expect(listening('no.such.host.invalid', 0)).rejects.toMatchObject({ code: 'ERR_MQTT_LISTEN' });
  });

  it('warns when others than this machine can connect', async () => {
    await listen();
    expect(log).toEqual([]);
    const open = await listen({ bind: '0.0.0.0' });
    expect(log).toEqual([
      `warn the embedded MQTT broker listens on 0.0.0.0:${open.port} and asks for no password: anybody on the network may drive lines`,
    ]);
  });

  it('delivers what was published before it is closed, and frees its port', async () => {
    const broker = await listen();
    const { client: subscribed, received } = await subscriber(broker.port, ['#']);
    const publisher = await client(broker.port);
    await publisher.publishAsync('status', 'offline', { qos: 1, retain: true });
    const ended = once(subscribed, 'close');
    const closing = broker.close();
    expect(broker.close()).toBe(closing);
    await Promise.all([closing, ended]);
    expect(received).toEqual(['status offline']);
    const next = await listen({ port: broker.port });
    expect(next.port).toBe(broker.port);
    await serves(next);
  });

  it('is closed quickly while clients do not read, or have said nothing', async () => {
    const broker = await listen();
    const silent = await socket(broker.port);
    const deaf = await socket(broker.port);
    deaf.write(Buffer.concat([CONNECT('deaf'), SUBSCRIBE('#')]));
    await once(deaf, 'data');
    deaf.pause();
    const publisher = await client(broker.port);
    for (let i = 0; i < 600; i++) await publisher.publishAsync('x', Buffer.alloc(16_384), { qos: 0 });
    const before = performance.now();
    await broker.close();
    expect(performance.now() - before).toBeLessThan(2000);
    expect(broker.connectionCount).toBe(0);
    silent.destroy();
  });

  it('runs in a worker thread', async () => {
    const module = new URL('../../../src/exporters/mqtt/embedded-broker.ts', import.meta.url).href;
    // Node takes no TypeScript as a worker's entry, so the worker has to set up tsx by itself.
    const entry = `
      const { parentPort } = require('node:worker_threads');
      import('tsx/esm/api').then(async ({ register }) => {
        register();
        const { EmbeddedBroker } = await import(${JSON.stringify(module)});
        const broker = await EmbeddedBroker.listen({ port: 0, bind: '127.0.0.1', onLog() {} });
        parentPort.once('message', () => broker.close().then(() => parentPort.close()));
        parentPort.postMessage(broker.port);
      });`;
    const worker = new Worker(entry, { eval: true });
    owned.push(() => worker.terminate());
    const [port] = await once<[number]>(worker, 'message');
    const { client: both, received, count } = await subscriber(port, ['#']);
    await both.publishAsync('a', 'b', { qos: 1 });
    await count(1);
    expect(received).toEqual(['a b']);
    await both.endAsync();
    const exited = once(worker, 'exit');
    worker.postMessage('close');
    expect(await exited).toEqual([0]);
  });
});

describe('EmbeddedBroker: bounds', () => {
  it('takes packets of 64 KiB, and disconnects who sends longer ones', async () => {
    const broker = await listen();
    const { received, count } = await subscriber(broker.port, ['big']);
    const publisher = await client(broker.port);
    // Two bytes for the length of the topic, the topic, two for the packet's number.
    await publisher.publishAsync('big', Buffer.alloc(MAX_PACKET_BYTES - 7, 'x'), { qos: 1 });
    await count(1);
    expect(received[0]).toHaveLength(4 + MAX_PACKET_BYTES - 7);
    const closed = once(publisher, 'close');
    publisher.publish('big', Buffer.alloc(1 << 20), { qos: 1 });
    await closed;
    expect(log.join()).toContain('at most 65536 are taken');
    await serves(broker);
  });

  it('keeps nothing of a packet that claims to be huge', async () => {
    const broker = await listen();
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 20; i++) {
      const hostile = await socket(broker.port);
      const closed = once(hostile, 'close');
      hostile.write(Buffer.from([0x10, 0xff, 0xff, 0xff, 0x7f]));
      hostile.write(Buffer.alloc(1 << 20, 0x42));
      hostile.resume();
      await closed;
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 << 20);
    await serves(broker);
  });

  it('serves 100 connections, closes more, and serves again when some are gone', async () => {
    const limits = new Map<string, number>();
    const broker = await listen({ onLimit: (limit) => limits.set(limit, (limits.get(limit) ?? 0) + 1) });
    const sockets: Socket[] = [];
    for (let i = 0; i < 1000; i++) {
      const opened = connectSocket({ host: '127.0.0.1', port: broker.port });
      opened.on('error', () => {});
      opened.write(CONNECT(`client ${i}`));
      sockets.push(opened);
    }
    owned.push(() => sockets.forEach((each) => void each.destroy()));
    let open = sockets.length;
    await new Promise<void>((resolve) => {
      for (const each of sockets) {
        each.resume();
        each.once('close', () => --open === MAX_CONNECTIONS && resolve());
      }
    });
    expect(broker.connectionCount).toBe(MAX_CONNECTIONS);
    // Some are put out before their CONNECT was read.
    const { refusedConnections = 0, displacedConnections = 0 } = Object.fromEntries(limits);
    expect(refusedConnections + displacedConnections).toBe(1000 - MAX_CONNECTIONS);
    expect(refusedConnections).toBeGreaterThan(0);
    expect(log).toEqual([
      `warn the embedded MQTT broker has ${MAX_CONNECTIONS} connections: more are closed`,
    ]);
    const left = sockets.filter((each) => !each.destroyed);
    const closed = left.map((each) => once(each, 'close'));
    for (const each of left) each.end();
    await Promise.all(closed);
    await serves(broker);
  });

  it('keeps nobody out for connections that say nothing', async () => {
    const limits: string[] = [];
    const broker = await listen({ onLimit: (limit) => limits.push(limit) });
    const silent = await Promise.all(Array.from({ length: MAX_CONNECTIONS + 10 }, () => socket(broker.port)));
    await serves(broker);
    expect(limits.filter((limit) => limit === 'displacedConnections').length).toBeGreaterThanOrEqual(11);
    expect(limits).not.toContain('refusedConnections');
    for (const each of silent) each.destroy();
  });

  it('disconnects who leaves a packet half sent', async () => {
    const limits: string[] = [];
    const broker = await listen({ packetTimeoutMs: 50, onLimit: (limit) => limits.push(limit) });
    const half = await socket(broker.port);
    half.resume();
    half.write(CONNECT('half'));
    half.write(SUBSCRIBE('a/b').subarray(0, 6));
    await once(half, 'close');
    expect(limits).toEqual(['stalledConnections']);
    await serves(broker);
  });

  it('disconnects who does not say who it is', async () => {
    const broker = await listen({ connectTimeoutMs: 50 });
    const half = await socket(broker.port);
    half.resume();
    half.write(CONNECT('half').subarray(0, 9));
    await once(half, 'close');
    await serves(broker);
  });

  it('refuses the 1001st subscription of a client, and takes one when another ends', async () => {
    const broker = await listen();
    const greedy = await client(broker.port);
    const filters = Array.from({ length: MAX_SUBSCRIPTIONS }, (_, i) => `topic/${i}`);
    const granted = await greedy.subscribeAsync(filters);
    expect(granted.every(({ qos }) => qos === 0)).toBe(true);
    await expect(greedy.subscribeAsync('one/more')).rejects.toThrow('Unspecified error');
    await greedy.subscribeAsync('topic/0', { qos: 1 });
    await greedy.unsubscribeAsync('topic/1');
    expect((await greedy.subscribeAsync('one/more'))[0]?.qos).toBe(0);
    await serves(broker);
  });

  it('disconnects who leaves QoS 2 messages unreleased', async () => {
    const broker = await listen();
    const lazy = await socket(broker.port);
    lazy.write(CONNECT('lazy'));
    await once(lazy, 'data');
    lazy.resume();
    const closed = once(lazy, 'close');
    for (let id = 1; id <= 101; id++) lazy.write(packet(0x34, [...text('a'), ...word(id), 1]));
    await closed;
    expect(log.join()).toContain('maxInflightInbound exceeded');
    await serves(broker);
  });

  it('holds nobody up for a client that does not read', async () => {
    const broker = await listen();
    const deaf = await socket(broker.port);
    deaf.write(Buffer.concat([CONNECT('deaf'), SUBSCRIBE('#', 1)]));
    await once(deaf, 'data');
    deaf.pause();
    const { received, count } = await subscriber(broker.port, ['#']);
    const publisher = await client(broker.port);
    const payload = 'x'.repeat(4000);
    const total = 5000;
    for (let i = 0; i < total; i++) await publisher.publishAsync('e', `${i} ${payload}`, { qos: 0 });
    await count(total);
    expect(received.map((each) => Number(each.split(' ')[1]))).toEqual(
      Array.from({ length: total }, (_, i) => i),
    );
    expect(log).toEqual(['warn MQTT client "deaf" reads too slowly: it does not get all QoS 0 messages']);
    // Messages of QoS 1 may not be left out: it is disconnected, and finds the retained ones when it is back.
    for (let i = 0; i < 500; i++) await publisher.publishAsync('s', `${i} ${payload}`, { qos: 1 });
    await count(total + 500);
    expect(log[1]).toBe('warn MQTT client "deaf" does not read: it is disconnected');
    const closed = once(deaf, 'close');
    deaf.resume();
    await closed;
    expect(log[2]).toMatch(/^info \d+ messages were not sent to a client of the embedded MQTT broker/);
    await serves(broker);
  });
});

describe('EmbeddedBroker: any bytes', () => {
  /** Packets as a client sends them, and bytes of a random kind between them. */
  const valid = fc.oneof(
    fc.constantFrom(
      CONNECT('fuzz'),
      CONNECT(''),
      packet(0x10, [...text('MQTT'), 5, 2, 0, 0, 0, ...text('x')]),
    ),
    fc.constantFrom(packet(0x10, [...text('MQIsdp'), 3, 2, 0, 0, ...text('x'.repeat(30))])),
    fc.constantFrom(
      ...['#', 'a/#/b', '+a', '', '$share/x/y', '/'.repeat(110)].map((filter) => SUBSCRIBE(filter)),
    ),
    fc
      .tuple(fc.constantFrom('a', '', '#', '$SYS/x', '__proto__', '/'.repeat(110)), fc.nat({ max: 15 }))
      .map(([topic, flags]) => packet(0x30 | flags, [...text(topic), 0, 7, 1, 2, 3])),
    fc.constantFrom(...[0x40, 0x50, 0x62, 0x70, 0x90, 0xb0].map((type) => packet(type, [0, 7]))),
    fc.constantFrom(
      packet(0xa2, [0, 1, ...text('a')]),
      packet(0xc0, []),
      packet(0xe0, []),
      packet(0xf0, [0, 0]),
    ),
    fc.constantFrom(packet(0x82, [0, 0, ...text('a'), 0]), packet(0x82, [0, 1]), packet(0x20, [0, 0])),
  );
  const mutated = fc
    .tuple(valid, fc.nat(), fc.nat({ max: 255 }))
    .map(([bytes, at, value]) =>
      Buffer.from(bytes.map((byte, index) => (index === at % bytes.length ? value : byte))),
    );
  const stream = fc
    .array(
      fc.oneof(
        valid,
        mutated,
        fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
      ),
      {
        minLength: 1,
        maxLength: 12,
      },
    )
    .map((parts) => Buffer.concat(parts));

  it('never ends the process, nor anybody else', async () => {
    const broker = await listen();
    const { client: other, received, count } = await subscriber(broker.port, ['other/#'], {}, 0);
    await fc.assert(
      fc.asyncProperty(stream, fc.boolean(), async (bytes, isConnected) => {
        const hostile = await socket(broker.port);
        hostile.resume();
        const closed = once(hostile, 'close');
        if (isConnected) hostile.write(CONNECT('fuzz'));
        hostile.end(bytes);
        await closed;
        await other.publishAsync('other/x', 'alive', { qos: 1 });
      }),
      { numRuns: 300 },
    );
    await count(300);
    expect(received.every((each) => each === 'other/x alive')).toBe(true);
  });
});

describe('PacketSizes', () => {
  const length = (value: number) => {
    const bytes = [];
    do {
      bytes.push((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
      value >>>= 7;
    } while (value > 0);
    return bytes;
  };
  const whole = (size: number) =>
    Buffer.concat([Buffer.from([0x30, ...length(size)]), Buffer.alloc(size, 0xff)]);

  it('takes packets up to the limit, in any pieces', () => {
    const sizes = fc.array(
      fc.oneof(fc.nat({ max: 300 }), fc.constantFrom(0, 127, 128, 16_383, 16_384, MAX_PACKET_BYTES)),
      {
        maxLength: 5,
      },
    );
    fc.assert(
      fc.property(sizes, fc.infiniteStream(fc.integer({ min: 1, max: 20_000 })), (packets, pieces) => {
        const bytes = Buffer.concat(packets.map(whole));
        const gate = new PacketSizes();
        for (let at = 0; at < bytes.length; ) {
          const end = at + pieces.next().value!;
          expect(gate.fault(bytes.subarray(at, end))).toBeNull();
          at = end;
        }
        expect(gate.fault(Buffer.from([0x30, ...length(MAX_PACKET_BYTES + 1)]))).toContain('65537 bytes');
      }),
      { numRuns: 50 },
    );
  });

  it('refuses lengths of more than four bytes', () => {
    expect(new PacketSizes().fault(Buffer.from([0x10, 0x80, 0x80, 0x80, 0x80, 0]))).toContain(
      'more than 4 bytes',
    );
    expect(new PacketSizes().fault(Buffer.from([0x10, 0x80, 0x80, 0x80, 0]))).toBeNull();
  });
});

describe('BrokerStore', () => {
  const retained = (store: BrokerStore, filter: string) =>
    store
      .createRetainedStreamCombi([filter])
      .map(({ topic }: { topic: string }) => topic)
      .toArray();

  it('retains a bounded number of messages, and goes on with those it has', async () => {
    let told = 0;
    const store = new BrokerStore(() => told++);
    const payload = Buffer.from('x');
    for (let i = 0; i < MAX_RETAINED_MESSAGES; i++) store.storeRetained({ topic: `t/${i}`, payload });
    expect([store.retainedCount, told]).toEqual([MAX_RETAINED_MESSAGES, 0]);
    store.storeRetained({ topic: 'one more', payload });
    store.storeRetained({ topic: 't/0', payload: Buffer.from('new') });
    expect([store.retainedCount, told]).toEqual([MAX_RETAINED_MESSAGES, 1]);
    store.storeRetained({ topic: 't/1', payload: Buffer.alloc(0) });
    store.storeRetained({ topic: 'one more', payload });
    expect([store.retainedCount, told]).toEqual([MAX_RETAINED_MESSAGES, 1]);
    expect(await retained(store, 'one more')).toEqual(['one more']);
  });

  it('retains a bounded number of bytes, and never an old message in place of a new one', async () => {
    let told = 0;
    const store = new BrokerStore(() => told++);
    const payload = Buffer.alloc(1 << 16);
    for (let i = 0; store.retainedCount === i; i++) store.storeRetained({ topic: `t${i}`, payload });
    expect(told).toBe(1);
    expect(store.retainedCount).toBe(Math.floor(MAX_RETAINED_BYTES / (payload.length + 6)));
    store.storeRetained({ topic: 't0', payload: Buffer.alloc(1 << 20) });
    expect(told).toBe(2);
    expect(await retained(store, 't0')).toEqual([]);
  });

  it.each([
    ['#', 'a', true],
    ['#', 'a/b', true],
    ['a/#', 'a', true],
    ['a/#', 'a/b/c', true],
    ['a/#', 'ab', false],
    ['+', 'a', true],
    ['+', 'a/b', false],
    ['+/+', '/x', true],
    ['/+', '/x', true],
    ['+', '/x', false],
    ['a/+/c', 'a/b/c', true],
    ['a/+/c', 'a//c', true],
    ['a/b', 'a/b', true],
    ['a/b', 'a', false],
    ['a', 'a/b', false],
    ['#', '$SYS/x', false],
    ['+/x', '$SYS/x', false],
    ['$SYS/#', '$SYS/x', true],
  ] as const)('matches %s with %s: %s', (filter, topic, isMatch) => {
    expect(matches(filter.split('/'), topic)).toBe(isMatch);
  });
});
