import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createWebSocketStream, WebSocketServer } from 'ws';
import { hub, mqttOptions, type Running, startExporter, TestBroker, until } from './mqtt-fixture.ts';
import { type Certificate, contents, TestAuthority } from './test-certificates.ts';

type HttpServer = ReturnType<typeof createHttpServer>;

describe('ways to a broker', () => {
  let folder = '';
  let authority: TestAuthority;
  let server: Certificate;
  let broker: TestBroker | null = null;
  let running: Running | null = null;

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'mqtt-transports-'));
    authority = new TestAuthority(folder);
    server = authority.issue('server', 'IP:127.0.0.1');
  });
  afterAll(() => rmSync(folder, { recursive: true }));
  afterEach(async () => {
    await running?.exporter.close();
    await broker?.close();
    running = null;
    broker = null;
  });

  const overTls = (options: TlsOptions) =>
    TestBroker.start(0, (handle) => createTlsServer(options, (socket) => void handle(socket)));
  const overWebSocket = (http: HttpServer) =>
    TestBroker.start(0, (handle) => {
      const sockets = new WebSocketServer({ server: http, path: '/mqtt' });
      sockets.on('connection', (socket) => void handle(createWebSocketStream(socket) as unknown as Socket));
      return http;
    });
  const start = async (url: string, tls: Parameters<typeof mqttOptions>[1] = {}) => {
    running = await startExporter(mqttOptions(url, { protocolVersion: '3.1.1', ...tls }), hub());
    return running;
  };
  const connected = async (url: string, changes?: Parameters<typeof mqttOptions>[1]) => {
    const { exporter, log } = await start(url, changes);
    await until(
      () => exporter.status.connected,
      () => `a connection; ${log.join('; ')}`,
    );
    // Something was published, and taken.
    await until(() => exporter.status.counters.published > 5, 'messages');
  };
  const refused = async (url: string, changes?: Parameters<typeof mqttOptions>[1]) => {
    const { exporter } = await start(url, changes);
    await until(() => ![undefined, 'not connected yet'].includes(exporter.status.reason), 'a reason');
    expect(exporter.status.connected).toBe(false);
    return exporter.status.reason as string;
  };

  it('TLS, with an authority of our own', async () => {
    broker = await overTls(contents(server));
    await connected(`mqtts://127.0.0.1:${broker.port}`, { tls: { ca: authority.ca.cert } });
  });

  it('TLS, with a certificate for another name that we expect', async () => {
    broker = await overTls(contents(authority.issue('named', 'DNS:broker.plant')));
    const url = `mqtts://127.0.0.1:${broker.port}`;
    await connected(url, { tls: { ca: authority.ca.cert, serverName: 'broker.plant' } });
  });

  it('TLS, with a certificate of ours', async () => {
    const client = authority.issue('client', 'DNS:gateway');
    const options = { ...contents(server), ca: readFileSync(authority.ca.cert), requestCert: true };
    broker = await overTls({ ...options, rejectUnauthorized: true });
    const url = `mqtts://127.0.0.1:${broker.port}`;
    await connected(url, { tls: { ca: authority.ca.cert, ...client } });
  });

  it('no TLS without a certificate of ours, when the broker wants one', async () => {
    const options = { ...contents(server), ca: readFileSync(authority.ca.cert), requestCert: true };
    broker = await overTls({ ...options, rejectUnauthorized: true });
    const reason = await refused(`mqtts://127.0.0.1:${broker.port}`, { tls: { ca: authority.ca.cert } });
    expect(reason).toMatch(/mqtt\.tls\.cert|reset/);
  });

  it('no certificate of an authority that is not known', async () => {
    broker = await overTls(contents(server));
    expect(await refused(`mqtts://127.0.0.1:${broker.port}`)).toContain('set mqtt.tls.ca to the authority');
  });

  it('no certificate for another name', async () => {
    broker = await overTls(contents(authority.issue('other', 'DNS:elsewhere')));
    const reason = await refused(`mqtts://127.0.0.1:${broker.port}`, { tls: { ca: authority.ca.cert } });
    expect(reason).toContain('mqtt.tls.serverName');
  });

  it('no files that are not there, or that are no certificates', async () => {
    broker = await overTls(contents(server));
    const url = `mqtts://127.0.0.1:${broker.port}`;
    const missing = join(folder, 'missing.pem');
    expect(await refused(url, { tls: { ca: missing } })).toBe(
      `the file of mqtt.tls.ca ${missing} cannot be read: ENOENT`,
    );
    await running?.exporter.close();
    const noKey = { ca: authority.ca.cert, cert: server.cert, key: server.cert };
    expect(await refused(url, { tls: noKey })).toContain('mqtt.tls');
  });

  it('no TLS to a broker without', async () => {
    broker = await TestBroker.start(0, () =>
      createServer((socket) => socket.end('hello, this is not TLS\n')),
    );
    const reason = await refused(`mqtts://127.0.0.1:${broker.port}`, { tls: { ca: authority.ca.cert } });
    expect(reason).toMatch(/does not speak TLS|closed|reset/);
  });

  it('WebSocket', async () => {
    broker = await overWebSocket(createHttpServer());
    await connected(`ws://127.0.0.1:${broker.port}/mqtt`);
  });

  it('WebSocket over TLS', async () => {
    broker = await overWebSocket(createHttpsServer(contents(server)));
    const url = `wss://127.0.0.1:${broker.port}/mqtt`;
    await connected(url, { tls: { ca: authority.ca.cert } });
    await running?.exporter.close();
    expect(await refused(url)).toContain('set mqtt.tls.ca to the authority');
  });

  it('no WebSocket where there is none', async () => {
    broker = await TestBroker.start(0, () =>
      createHttpServer((_request, response) => response.writeHead(404).end()),
    );
    expect(await refused(`ws://127.0.0.1:${broker.port}/mqtt`)).toContain('404');
  });
});
