import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type Client, connect } from '../../src/client/client.ts';
import { ControlError } from '../../src/client/control-error.ts';
import type { LineEdge } from '../../src/wire/control.ts';
import { eventually, openLines, STATUS, scratchFolder, serve } from '../exporters/control/served-control.ts';
import { DeferredChip } from '../exporters/virtio-gpio/deferred-chip.ts';
import { TestConsumer } from '../gpio/consumer.ts';

async function connected(path: string): Promise<Client> {
  const client = await connect(path);
  onTestFinished(() => client.close());
  return client;
}

/** What a call is refused with. */
async function refusal(call: Promise<unknown>): Promise<[string, string]> {
  try {
    await call;
  } catch (error) {
    if (error instanceof ControlError) return [error.code, error.message];
    throw error;
  }
  throw new Error('it was not refused');
}

/** Something else than a service, at a path. */
async function listen(onConnection: (socket: Socket) => void): Promise<string> {
  const path = join(scratchFolder(), 'other.sock');
  const server: Server = createServer((socket) => {
    socket.on('error', () => {});
    onTestFinished(() => {
      socket.destroy();
    });
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  onTestFinished(() => {
    server.close();
  });
  return path;
}

const GREETING = '{"service":"rproc-gpio","protocol":1,"version":"9.9.9"}\n';

describe('connect', () => {
  it('tells the service and its place', async () => {
    const { path } = await serve();
    const client = await connected(path);
    expect([client.version, client.socket]).toEqual(['1.2.3', path]);
    const other = await connect({ socket: path, timeoutMs: 1000 });
    other.close();
  });

  it('says how to start a service that does not run', async () => {
    const path = join(scratchFolder(), 'control.sock');
    const expected = `no rproc-gpio service listens on ${path}; start it with \`rproc-gpio serve\` or \`npm start\``;
    expect(await refusal(connect(path))).toEqual(['ERR_NOT_RUNNING', expected]);
    const { server, path: served } = await serve();
    await server.close();
    expect((await refusal(connect(served)))[0]).toBe('ERR_NOT_RUNNING');
    expect((await refusal(connect('/dev/null/x')))[0]).toBe('ERR_NOT_RUNNING');
    expect((await refusal(connect('/dev/null')))[0]).toBe('ERR_NOT_RUNNING');
  });

  it.each(['', 'a\0b', `/tmp/${'x'.repeat(103)}`])('does not take %j for a path', async (path) => {
    const [code, message] = await refusal(connect(path));
    expect(code).toBe('ERR_CONNECT');
    expect(message).toMatch(/ is no path of a socket: it has \d+ bytes, should have 1 to 107 and no NUL$/);
  });

  it('names both versions when they do not go together', async () => {
    const path = await listen((socket) =>
      socket.end('{"service":"rproc-gpio","protocol":7,"version":"9.9.9"}\n'),
    );
    expect(await refusal(connect(path))).toEqual([
      'ERR_PROTOCOL',
      `the service on ${path} (rproc-gpio 9.9.9) speaks control protocol 7, this client speaks 1; use the same version of both`,
    ]);
  });

  it.each([
    [
      'HTTP/1.1 400 Bad Request\r\n',
      'ERR_PROTOCOL',
      /no rproc-gpio service listens on .*"HTTP\/1.1 400 Bad Request\\r" is not JSON/,
    ],
    ['{"id":1,"result":{}}\n', 'ERR_PROTOCOL', /did not greet/],
    ['{"id":null,"error":{"code":"ERR_LIMIT","message":"full"}}\n', 'ERR_LIMIT', /^full$/],
    ['', 'ERR_CLOSED', /has closed the connection/],
  ])('says what is wrong when it hears %j', async (text, code, message) => {
    const path = await listen((socket) => socket.end(text));
    const [actual, told] = await refusal(connect(path));
    expect(actual).toBe(code);
    expect(told).toMatch(message);
  });

  it('does not wait for ever', async () => {
    const path = await listen((socket) => socket.write('{"service":'));
    expect(await refusal(connect({ socket: path, timeoutMs: 30 }))).toEqual([
      'ERR_TIMEOUT',
      `the service on ${path} did not answer within 30 ms`,
    ]);
  });

  it('is told that the service has too many clients', async () => {
    const { path } = await serve();
    // Who has never asked anything would be put out for another.
    for (let i = 0; i < 64; i++) await (await connected(path)).chips();
    expect(await refusal(connect(path))).toEqual([
      'ERR_LIMIT',
      'the service has 64 clients already, which is the most it takes',
    ]);
  });
});

describe('a client', () => {
  it('asks everything that there is to ask', async () => {
    const report = { changed: ['x'], unchanged: false };
    const { path } = await serve({ reload: () => Promise.resolve(report) });
    await using client = await connect(path);
    expect(await client.chips()).toMatchObject([{ name: 'hub' }]);
    expect(await client.lines()).toHaveLength(8);
    expect(await client.lines('hub')).toHaveLength(8);
    expect(await client.lines(['LED', 'hub/#6'])).toMatchObject([{ name: 'LED' }, { offset: 6 }]);
    expect(await client.set([{ line: 'LED', level: 1 }])).toMatchObject([{ ok: true, level: 1 }]);
    expect(await client.get(['LED', 'LED_SENSE'])).toMatchObject([{ level: 1 }, { level: 1 }]);
    expect(await client.toggle(['LED'])).toMatchObject([{ level: 0 }]);
    expect(await client.pulse(['LED'], 1, 3_600_000)).toMatchObject([{ ok: true }]);
    expect(await client.release(['LED'])).toMatchObject([{ ok: true }]);
    expect(await client.setDirection(['LED'], 'in')).toMatchObject([{ ok: true }]);
    expect(await client.status()).toMatchObject({ ...STATUS, control: { connections: 1 } });
    expect(await client.reload()).toEqual(report);
    expect(await refusal(client.get([]))).toEqual([
      'ERR_REQUEST',
      'params.lines holds no lines, should hold at least 1',
    ]);
    const noSuchChip = client.chip('x').info();
    expect(await refusal(noSuchChip)).toEqual(['ERR_LINE', "there is no chip 'x'; chips are hub"]);
  });

  it('has many calls under way, each with its own answer', async () => {
    const { path } = await serve();
    const client = await connected(path);
    const calls = Array.from({ length: 2000 }, (_, i) => client.lines([`hub/#${i % 8}`]));
    const answers = await Promise.all(calls);
    expect(answers.map(([line]) => line?.offset)).toEqual(calls.map((_, i) => i % 8));
  });

  it('drives one line', async () => {
    const { path, lines, chip } = await serve();
    const client = await connected(path);
    expect(await client.chip('hub').info()).toMatchObject({ lineCount: 8 });
    expect(await client.chip('hub').lines()).toHaveLength(8);
    const led = client.chip('hub').line('LED');
    await led.set(1);
    expect(await led.get()).toBe(1);
    expect(await led.toggle()).toBe(0);
    await led.pulse(1, 3_600_000);
    expect(chip.level(0)).toBe(1);
    expect(await led.info()).toMatchObject({ direction: 'out', owner: 'command line', level: 1 });
    await led.release();
    await led.setDirection('in');
    expect(await client.chip('hub').line(0).info()).toMatchObject({ direction: 'in', owner: null });
    expect(await client.line('LED').info()).toMatchObject({ offset: 0 });
    new TestConsumer(lines, 4, 'guest vm1').setDirection(1);
    const relay = client.line('RELAY');
    const busy = ['ERR_BUSY', 'hub/RELAY: busy: owned by guest vm1'];
    expect(await refusal(relay.set(1))).toEqual(busy);
    expect(await refusal(relay.toggle())).toEqual(busy);
    expect(await refusal(relay.pulse(1, 5))).toEqual(busy);
    expect(await refusal(relay.setDirection('in'))).toEqual(busy);
    expect((await refusal(client.line('NO').get()))[0]).toBe('ERR_LINE');
  });

  it('rejects what is under way when it is closed, and everything after', async () => {
    const chip = new DeferredChip(1);
    const slow = openLines(chip);
    chip.answerAll();
    const { path, server } = await serve({ chips: () => [slow] });
    const client = await connected(path);
    const call = client.get(['sim0']);
    await eventually(() => expect(chip.waiting).toEqual(['get 0']));
    client.close();
    client.close();
    expect(await refusal(call)).toEqual(['ERR_CLOSED', 'this client was closed']);
    expect(await refusal(client.chips())).toEqual(['ERR_CLOSED', 'this client was closed']);
    chip.answerAll();
    await eventually(() => expect(server.status.connections).toBe(0));
    expect(server.openLines).toBe(0);
  });

  it('rejects with the reason when the service ends', async () => {
    const chip = new DeferredChip(1);
    const slow = openLines(chip);
    chip.answerAll();
    const { path, server } = await serve({ chips: () => [slow] });
    const client = await connected(path);
    const refused = refusal(client.get(['sim0']));
    await eventually(() => expect(chip.waiting).toEqual(['get 0']));
    await server.close();
    expect(await refused).toEqual(['ERR_CLOSED', 'the service ends']);
    expect(await refusal(client.chips())).toEqual(['ERR_CLOSED', 'the service ends']);
  });

  it.each([
    ['{"id":7,"result":{}}\n', 'ERR_PROTOCOL', /answered a request 7 that was not made/],
    [GREETING, 'ERR_PROTOCOL', /greeted twice/],
    ['nonsense\n', 'ERR_PROTOCOL', /sent a message that is not right: "nonsense" is not JSON/],
    ['{"id":1,"result":{}}\n', 'ERR_PROTOCOL', /chips: result is an object, should be a list of chips/],
    ['{"id":1,"error":{"code":"ERR_X","message":"why"}}\n', 'ERR_X', /^why$/],
    ['{"id":null,"error":{"code":"ERR_REQUEST","message":"what?"}}\n', 'ERR_REQUEST', /^what\?$/],
    [null, 'ERR_CLOSED', /has closed the connection/],
  ])('does not trust a service that says %j', async (text, code, message) => {
    const path = await listen((socket) => {
      socket.write(GREETING);
      socket.once('data', () => (text === null ? socket.end() : socket.write(text)));
    });
    const client = await connected(path);
    const [actual, told] = await refusal(client.chips());
    expect(actual).toBe(code);
    expect(told).toMatch(message);
  });
});

describe('edges', () => {
  const BUTTON = 2;

  it('come in a loop, which ends the subscription when it is left', async () => {
    const { path, chip, server } = await serve();
    const client = await connected(path);
    const stream = client.chip('hub').line('BUTTON').edges();
    expect(await stream.ready).toMatchObject([{ name: 'BUTTON', level: 0 }]);
    chip.drive(BUTTON, 1);
    const seen: string[] = [];
    for await (const { name, edge, seq } of stream) {
      seen.push(`${name} ${edge} ${seq}`);
      if (seq === 3) break;
      chip.drive(BUTTON, (seq & 1) === 1 ? 0 : 1);
    }
    expect(seen).toEqual(['BUTTON rising 1', 'BUTTON falling 2', 'BUTTON rising 3']);
    await eventually(() => expect(server.openLines).toBe(0));
    // It is over: another loop has nothing to do.
    for await (const _ of stream) throw new Error('an edge after the end');
    expect(await client.chips()).toHaveLength(1);
  });

  it('come from all lines, of a chip, of some, of one kind', async () => {
    const { path, chip } = await serve();
    const client = await connected(path);
    const streams = [
      client.edges(),
      client.chip('hub').edges({ edges: 'falling' }),
      client.edges(['LOST', 'hub/#2'], { edges: 'rising' }),
    ];
    for (const stream of streams) await stream.ready;
    for (const level of [1, 0] as const) for (const offset of [7, BUTTON]) chip.drive(offset, level);
    const take = async (stream: AsyncIterable<LineEdge>, count: number): Promise<string[]> => {
      const seen: string[] = [];
      for await (const { name, edge } of stream) if (seen.push(`${name} ${edge}`) === count) break;
      return seen;
    };
    expect(await take(streams[0]!, 4)).toEqual([
      'LOST rising',
      'BUTTON rising',
      'LOST falling',
      'BUTTON falling',
    ]);
    expect(await take(streams[1]!, 2)).toEqual(['LOST falling', 'BUTTON falling']);
    expect(await take(streams[2]!, 2)).toEqual(['LOST rising', 'BUTTON rising']);
  });

  it('of lines that are not there make the loop throw', async () => {
    const { path } = await serve();
    const client = await connected(path);
    const loop = async () => {
      for await (const _ of client.edges(['NO'])) throw new Error('an edge of nothing');
    };
    expect((await refusal(loop()))[0]).toBe('ERR_LINE');
    expect((await refusal(client.edges(['NO']).ready as Promise<unknown>))[0]).toBe('ERR_LINE');
  });

  it('end when the stream is closed, also before it has begun', async () => {
    const { path, server } = await serve();
    const client = await connected(path);
    const early = client.edges(['LED']);
    early.close();
    expect((await refusal(early.ready))[0]).toBe('ERR_CLOSED');
    for await (const _ of early) throw new Error('an edge after the end');
    const stream = client.edges(['LED']);
    await stream.ready;
    const waiting = stream[Symbol.asyncIterator]().next();
    stream.close();
    stream.close();
    expect(await waiting).toEqual({ value: undefined, done: true });
    await eventually(() => expect(server.openLines).toBe(0));
    {
      await using disposed = client.edges(['LED']);
      await disposed.ready;
      expect(server.openLines).toBe(1);
    }
    await eventually(() => expect(server.openLines).toBe(0));
  });

  it('end with the reason of a signal', async () => {
    const { path, server } = await serve();
    const client = await connected(path);
    const controller = new AbortController();
    const stream = client.edges(['LED'], { signal: controller.signal });
    await stream.ready;
    const waiting = stream[Symbol.asyncIterator]().next();
    controller.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    await eventually(() => expect(server.openLines).toBe(0));
    const late = client.edges(['LED'], { signal: AbortSignal.abort() });
    await expect(late.ready).rejects.toThrow(/aborted/);
    await expect(late[Symbol.asyncIterator]().next()).rejects.toThrow(/aborted/);
    expect(await client.chips()).toHaveLength(1);
    expect(server.openLines).toBe(0);
  });

  it('that have come are there when the service has gone; then the loop throws', async () => {
    const { path, chip, server } = await serve();
    const client = await connected(path);
    const stream = client.edges(['BUTTON']);
    await stream.ready;
    chip.drive(BUTTON, 1);
    chip.drive(BUTTON, 0);
    const edges = stream[Symbol.asyncIterator]();
    expect((await edges.next()).value).toMatchObject({ seq: 1 });
    await server.close();
    expect((await edges.next()).value).toMatchObject({ seq: 2 });
    expect(await refusal(edges.next())).toEqual(['ERR_CLOSED', 'the service ends']);
    expect((await edges.next()).done).toBe(true);
  });

  it('end when this client is closed', async () => {
    const { path } = await serve();
    const client = await connected(path);
    const stream = client.edges();
    await stream.ready;
    const waiting = stream[Symbol.asyncIterator]().next();
    client.close();
    expect(await waiting).toEqual({ value: undefined, done: true });
  });

  it('end with an error when the chip has gone', async () => {
    const slow = openLines(new DeferredChip(1));
    let chips = [slow];
    const { path, server } = await serve({ chips: () => chips });
    (slow.chip as DeferredChip).answerAll();
    const client = await connected(path);
    const stream = client.edges();
    await eventually(() => expect((slow.chip as DeferredChip).waiting).toContain('irq 0 3'));
    (slow.chip as DeferredChip).answerAll();
    await stream.ready;
    const waiting = stream[Symbol.asyncIterator]().next();
    chips = [];
    server.chipsChanged();
    expect(await refusal(waiting)).toEqual(['ERR_UNAVAILABLE', 'chip slow is gone']);
    expect(await client.chips()).toEqual([]);
  });

  it('that nobody fetches are bounded, and counted where they are missing', async () => {
    const served = await serve();
    const { path, chip } = served;
    const client = await connected(path);
    const stream = client.edges(['BUTTON']);
    const drops: [number, number][] = [];
    let seen = 0;
    stream.onDropped = (count) => drops.push([seen, count]);
    await stream.ready;
    for (let i = 0; i < 70_000; i++) {
      chip.drive(BUTTON, (1 - (i & 1)) as 0 | 1);
      if (i % 500 === 499) await client.chips();
    }
    const iterator = stream[Symbol.asyncIterator]();
    for (; seen < 65_536; seen++) expect((await iterator.next()).value?.seq).toBe(seen + 1);
    expect(stream.dropped).toBe(0);
    const next = iterator.next();
    expect(drops).toEqual([[65_536, 70_000 - 65_536]]);
    expect(stream.dropped).toBe(70_000 - 65_536);
    chip.drive(BUTTON, 1);
    expect((await next).value?.seq).toBe(70_001);
    chip.drive(BUTTON, 0);
    expect((await iterator.next()).value?.seq).toBe(70_002);
  });
});
