import fc from 'fast-check';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { MAX_CONNECTIONS } from '../../../src/exporters/control/control-server.ts';
import { MAX_REQUEST_BYTES } from '../../../src/wire/control.ts';
import { DeferredChip } from '../virtio-gpio/deferred-chip.ts';
import { type Message, RawClient } from './raw-client.ts';
import { eventually, openLines, serve } from './served-control.ts';

describe('bad input', () => {
  it('is answered, and the connection goes on', async () => {
    const { path, server } = await serve();
    const client = await RawClient.greeted(path);
    client.send('GET / HTTP/1.1\r\n\r\n');
    expect(await client.next()).toEqual({
      id: null,
      error: {
        code: 'ERR_REQUEST',
        message: String.raw`"GET / HTTP/1.1\r" is not JSON; a request is one line like {"id":1,"method":"chips"}`,
      },
    });
    expect(await client.next()).toMatchObject({ id: null });
    client.send(Buffer.from([0xff, 0xfe, 0x0a]));
    expect(await client.next()).toEqual({
      id: null,
      error: { code: 'ERR_REQUEST', message: 'the request is not UTF-8' },
    });
    expect(await client.error('gett')).toMatchObject({ code: 'ERR_REQUEST' });
    expect(await client.result('chips')).toHaveLength(1);
    expect(server.status.counters).toMatchObject({ badRequests: 4, errors: 4, requests: 1 });
  });

  it('takes a request in any pieces', async () => {
    const { path } = await serve();
    const client = await RawClient.greeted(path);
    const text = Buffer.from(
      '{"id":1,"method":"lines","params":{"chip":"hüb"}}\n{"id":2,"method":"chips"}\n',
    );
    for (const byte of text) {
      client.send(Uint8Array.of(byte));
      // Each byte of its own, as far as the kernel lets it.
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
    expect(await client.next()).toMatchObject({
      id: 1,
      error: { message: "there is no chip 'hüb'; chips are hub" },
    });
    expect(await client.next()).toMatchObject({ id: 2, result: [{ name: 'hub' }] });
  });

  it('refuses a request of more than 64 KiB, and ends the connection', async () => {
    const { path, server } = await serve();
    const client = await RawClient.greeted(path);
    const padded = (bytes: number) => `{"id":1,"method":"chips"}${' '.repeat(bytes - 25)}\n`;
    client.send(padded(MAX_REQUEST_BYTES));
    expect(await client.next()).toMatchObject({ id: 1, result: [{}] });
    client.send('x'.repeat(MAX_REQUEST_BYTES + 1));
    expect(await client.next()).toEqual({
      id: null,
      error: { code: 'ERR_LIMIT', message: `a request has at most ${MAX_REQUEST_BYTES} bytes` },
    });
    await client.untilEnded();
    await eventually(() => expect(server.status.connections).toBe(0));
    expect(client.messages).toEqual([]);
  });

  it('answers what was asked before a request that is too long', async () => {
    const chip = new DeferredChip(1);
    const slow = openLines(chip);
    chip.answerAll();
    const { path } = await serve({ chips: () => [slow] });
    const client = await RawClient.greeted(path);
    client.ask(1, 'get', { lines: ['sim0'] }).send('x'.repeat(1_000_000));
    expect(await client.next()).toMatchObject({ id: null, error: { code: 'ERR_LIMIT' } });
    chip.answerAll();
    expect(await client.next()).toMatchObject({ id: 1, result: [{ ok: true }] });
    await client.untilEnded();
  });

  it('does not carry out a request that was cut off', async () => {
    const { path, lines, server } = await serve();
    const client = await RawClient.open(path, { allowHalfOpen: true });
    await client.next();
    client.socket.end('{"id":1,"method":"set","params":{"values":[{"line":"LED","level":1}]}}');
    expect(await client.next()).toEqual({
      id: null,
      error: { code: 'ERR_REQUEST', message: 'the last request has no newline' },
    });
    await client.untilEnded();
    expect(lines.lines[0]?.direction).toBe(0);
    client.socket.end();
    await eventually(() => expect(server.status.connections).toBe(0));
  });

  it('answers all that a client asked before it ended its side', async () => {
    const { path } = await serve();
    const client = await RawClient.open(path, { allowHalfOpen: true });
    client
      .ask(1, 'watch')
      .ask(2, 'set', { values: [{ line: 'LED', level: 1 }] })
      .ask(3, 'get', { lines: ['LED'] });
    client.socket.end();
    await client.untilEnded();
    expect(client.messages.flatMap(({ id }) => (id === undefined ? [] : [id]))).toEqual([1, 2, 3]);
    expect(client.messages.find(({ id }) => id === 3)).toMatchObject({ result: [{ level: 1 }] });
  });

  it('survives any bytes', async () => {
    const { path, server } = await serve();
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      fc
        .constantFrom(
          '\n',
          '{"id":1,"method":"',
          'chips"}\n',
          'watch"}\n',
          '"params":{"lines":["LED"]}}\n',
          '[',
          '\0',
        )
        .map((text) => Buffer.from(text)),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 30 }), async (pieces) => {
        const client = await RawClient.open(path, { allowHalfOpen: true });
        for (const bytes of pieces) client.send(bytes);
        client.socket.end();
        await client.untilEnded();
        expect(client.messages[0]).toMatchObject({ service: 'rproc-gpio' });
        client.socket.destroy();
      }),
      { numRuns: 100 },
    );
    await eventually(() => expect(server.status.connections).toBe(0));
    expect(server.openLines).toBe(0);
    expect(await (await RawClient.greeted(path)).result('chips')).toHaveLength(1);
  });
});

describe('clients that come and go', () => {
  it('leave nothing behind, whatever was under way', async () => {
    const chip = new DeferredChip(3);
    const slow = openLines(chip);
    chip.answerAll();
    const { path, server } = await serve({ chips: () => [slow] });
    const client = await RawClient.greeted(path);
    client
      .ask(1, 'get', { lines: ['sim0'] })
      .ask(2, 'watch', {})
      .ask(3, 'set', { values: [{ line: 'sim1', level: 1 }] })
      .ask(4, 'toggle', { lines: ['sim2'] });
    await eventually(() => expect(server.status.counters.requests).toBe(4));
    client.socket.destroy();
    await eventually(() => expect(slow.lines[0]?.handles.some(({ watching }) => watching)).toBe(false));
    chip.answerAll();
    await eventually(() => expect(server.status.connections).toBe(0));
    // What was asked for is done; what was watched is not any more.
    await eventually(() => expect(slow.lines[1]?.ownerName).toBe('command line'));
    expect(chip.inner.level(1)).toBe(1);
    expect(server.openLines).toBe(2);
    expect(slow.lines[0]?.handles).toEqual([]);
    expect(slow.lines.map(({ subscribed }) => subscribed)).toEqual([0, 0, 0]);
  });

  it('are told when there are too many, and find a place later', async () => {
    const { path, server, log } = await serve();
    const clients = await Promise.all(Array.from({ length: MAX_CONNECTIONS }, () => RawClient.greeted(path)));
    for (const client of clients) await client.result('chips');
    const more = await RawClient.open(path);
    expect(await more.next()).toEqual({
      id: null,
      error: { code: 'ERR_LIMIT', message: 'the service has 64 clients already, which is the most it takes' },
    });
    await more.untilEnded();
    expect(server.status).toMatchObject({ connections: 64, counters: { refusedConnections: 1 } });
    expect(log).toHaveLength(1);
    expect(log[0]).toMatch(/^warn: control socket: a client was turned away/);
    clients[0]?.socket.destroy();
    await eventually(() => expect(server.status.connections).toBe(63));
    expect(await (await RawClient.greeted(path)).result('chips')).toHaveLength(1);
  });

  it('give place to others when they have never asked anything, or do not read', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const { path, server } = await serve();
    const used = await RawClient.greeted(path);
    await used.result('chips');
    const deaf = await RawClient.greeted(path);
    deaf.socket.pause();
    for (let i = 0; i < 10_000; i++) deaf.ask(1, 'lines');
    await eventually(() => expect(server.status.limits).toMatchObject({ unreadPauses: 1 }));
    const asked: RawClient[] = [];
    for (let i = 2; i < MAX_CONNECTIONS; i++) {
      asked.push(await RawClient.greeted(path));
      await asked.at(-1)!.result('chips');
    }
    const refused = await RawClient.open(path);
    expect(await refused.next()).toMatchObject({ error: { code: 'ERR_LIMIT' } });
    vi.advanceTimersByTime(5000);
    expect(await (await RawClient.greeted(path)).result('chips')).toHaveLength(1);
    expect(server.status.limits).toMatchObject({ displacedConnections: 1 });
    expect(await used.result('chips')).toHaveLength(1);
  });

  it('may not leave a request half said', async () => {
    const { path, server } = await serve({ requestTimeoutMs: 30 });
    const client = await RawClient.greeted(path);
    client.send('{"id":1,"meth');
    expect(await client.next()).toMatchObject({
      id: null,
      error: { code: 'ERR_LIMIT', message: 'a request that has begun was not complete after 0.03 s' },
    });
    await client.untilEnded();
    expect(server.status.limits).toMatchObject({ stalledConnections: 1 });
    await eventually(() => expect(server.status.connections).toBe(0));
  });

  it('may be a thousand at once', async () => {
    const { path, server } = await serve();
    const clients: RawClient[] = [];
    const first: Message[] = [];
    // Fifty at a time: the kernel refuses more than it lets wait.
    for (let i = 0; i < 20; i++) {
      const some = await Promise.all(Array.from({ length: 50 }, () => RawClient.open(path)));
      clients.push(...some);
      first.push(...(await Promise.all(some.map((client) => client.next()))));
    }
    // None of them asks anything: each is greeted, and gives place to a newer one.
    expect(first.filter(({ service }) => service === 'rproc-gpio')).toHaveLength(1000);
    expect(server.status).toMatchObject({
      connections: MAX_CONNECTIONS,
      counters: { refusedConnections: 0 },
      limits: { displacedConnections: 1000 - MAX_CONNECTIONS },
    });
    for (const { socket } of clients) socket.destroy();
    await eventually(() => expect(server.status.connections).toBe(0));
    expect(await (await RawClient.greeted(path)).result('chips')).toHaveLength(1);
  });

  it('are told when the service ends', async () => {
    const { path, server, lines } = await serve();
    const [a, b] = [await RawClient.greeted(path), await RawClient.greeted(path)];
    await a.result('watch', {});
    await a.result('set', { values: [{ line: 'LED', level: 1 }] });
    a.messages.length = 0;
    await server.close();
    await server.close();
    for (const client of [a, b]) {
      await client.untilEnded();
      expect(client.messages.at(-1)).toEqual({
        id: null,
        error: { code: 'ERR_CLOSED', message: 'the service ends' },
      });
    }
    expect(lines.lines.flatMap(({ handles }) => handles)).toEqual([]);
    await expect(RawClient.open(path)).rejects.toThrow(/ENOENT/);
  });
});
