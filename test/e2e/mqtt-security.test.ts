import { writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CertificateAuthority } from './lab/certificates.ts';
import { offsetOf } from './lab/firmware.ts';
import { freePort, Mosquitto, type MosquittoOptions } from './lab/mosquitto.ts';
import { MosquittoSub, publish } from './lab/mosquitto-clients.ts';
import { Resources } from './lab/resources.ts';
import { ScratchFolder } from './lab/scratch-folder.ts';
import { SharedHub } from './lab/shared-hub.ts';

const GATEWAY = 'rproc-gpio/lab';
const HUB = `${GATEWAY}/hub`;
const PASSWORD = 'correct horse battery staple';

let resources: Resources;
let folder: ScratchFolder;
let broker: Mosquitto;
let sub: MosquittoSub;
let hub: SharedHub;

beforeEach(() => {
  resources = new Resources();
  folder = resources.add(new ScratchFolder());
});
afterEach(() => resources.close());

async function startBroker(options: MosquittoOptions): Promise<void> {
  broker = resources.add(await Mosquitto.start(options));
  sub = resources.add(await MosquittoSub.start(broker, `${GATEWAY}/#`));
}

function sections(mqtt: object) {
  return {
    mqtt: { gateway: 'lab', lines: ['hub/*'], retry: { minMs: 50, maxMs: 200 }, ...mqtt },
    exports: { vm1: { lines: ['hub/*'] } },
  };
}

async function startService(mqtt: object): Promise<void> {
  hub = await SharedHub.start(resources, sections(mqtt));
}

/** Levels go out, and commands come in. */
async function expectService(): Promise<void> {
  await sub.waitFor(`${GATEWAY}/status`, 'online');
  await sub.waitFor(`${HUB}/BUTTON/state`, 'ON');
  const from = sub.count;
  await hub.pins.set('BUTTON', 0);
  await sub.waitFor(`${HUB}/BUTTON/state`, 'OFF', { from });
  await publish(broker, `${HUB}/LED_STATUS/set`, 'ON');
  await sub.waitFor(`${HUB}/LED_STATUS/result`, /"ok":true/, { from });
  await hub.pins.waitForLevel('LED_STATUS', 1);
}

/** A guest does not notice that there is no MQTT. */
async function expectGuestService(): Promise<void> {
  const chip = await hub.boot(resources, 'vm1');
  const monitor = await chip.monitor([offsetOf('TAMPER')]);
  await hub.pins.set('TAMPER', 1);
  expect(await monitor.stdout.waitForCount(1)).toEqual([`1 ${offsetOf('TAMPER')}`]);
  const holder = chip.hold(`${offsetOf('LED_ERROR')}=1`);
  await hub.pins.waitForLevel('LED_ERROR', 1);
  await chip.release(holder);
}

/** What the service has said about MQTT in warnings and errors. */
function complaints(): string[] {
  return hub.gateway.process.stderr.lines.filter(
    (line) => /^(warn|error): /.test(line) && /mqtt/i.test(line),
  );
}

/** Waits until there have been several attempts; the reason is said once, and only then. */
async function expectOneComplaint(reason: RegExp, attempts: () => Promise<unknown>): Promise<void> {
  await attempts();
  const told = complaints();
  expect(told).toHaveLength(1);
  expect(told[0]).toMatch(reason);
  const { mqtt } = await hub.status();
  expect(mqtt?.connected).toBe(false);
  expect(mqtt?.reason).toMatch(reason);
  for (const line of hub.gateway.process.stderr.lines) expect(line).not.toContain(PASSWORD);
}

/** Resolves when the broker has logged something `count` times since its last start. */
async function brokerSaid(pattern: RegExp, count: number): Promise<void> {
  let from = 0;
  for (let times = 0; times < count; times += 1) {
    await broker.process.stderr.waitFor(pattern, { from });
    from = broker.process.stderr.lines.findIndex((line, at) => at >= from && pattern.test(line)) + 1;
  }
}

describe('a broker with TLS that asks for client certificates', () => {
  let authority: CertificateAuthority;

  beforeEach(() => {
    authority = new CertificateAuthority(folder.path, 'authority');
  });

  function tls(ca = authority) {
    return { tls: { ca: ca.certificate, ...authority.issue('client') } };
  }

  it('serves, and is served', async () => {
    const server = authority.issue('server');
    await startBroker({ tls: { server, clientAuthority: authority.certificate } });
    await startService({ broker: broker.url, ...tls() });
    await expectService();
  });

  it('is not believed with a certificate of somebody else, which harms nobody', async () => {
    const server = authority.issue('server');
    await startBroker({ tls: { server, clientAuthority: authority.certificate } });
    const somebodyElse = new CertificateAuthority(folder.path, 'other');
    await startService({ broker: broker.url, ...tls(somebodyElse) });
    await expectOneComplaint(/certificate/i, () => brokerSaid(/OpenSSL Error/, 4));
    await expectGuestService();
    expect(complaints()).toHaveLength(1);
  });

  it('is not believed with an expired certificate, until it has a new one', async () => {
    const clientAuthority = authority.certificate;
    await startBroker({ tls: { server: authority.issue('old', { expired: true }), clientAuthority } });
    await startService({ broker: broker.url, ...tls() });
    await expectOneComplaint(/certificate of the broker is not accepted: it has expired/, () =>
      brokerSaid(/OpenSSL Error/, 4),
    );
    await broker.stop();
    await broker.start({ tls: { server: authority.issue('new'), clientAuthority } });
    sub = resources.add(await MosquittoSub.start(broker, `${GATEWAY}/#`));
    await expectService();
    expect((await hub.status()).mqtt).toMatchObject({ connected: true });
  });

  it('refuses a service without a certificate, which says so once', async () => {
    const server = authority.issue('server');
    await startBroker({ tls: { server, clientAuthority: authority.certificate } });
    await startService({ broker: broker.url, tls: { ca: authority.certificate } });
    await expectOneComplaint(/certificate required|closed|alert/i, () => brokerSaid(/OpenSSL Error/, 4));
  });
});

describe('a broker with passwords', () => {
  beforeEach(() => startBroker({ passwords: { hub: PASSWORD } }));

  function password(text: string) {
    const file = folder.file('password');
    // As an editor leaves it.
    writeFileSync(file, `${text}\n`, { mode: 0o600 });
    return { username: 'hub', password: { file } };
  }

  it('takes the right one from a file', async () => {
    await startService({ broker: broker.url, ...password(PASSWORD) });
    await expectService();
  });

  it('refuses a wrong one, which is said once and harms nobody, and takes the right one after a reload', async () => {
    await startService({ broker: broker.url, ...password(`${PASSWORD}r`) });
    await expectOneComplaint(/does not authorize us: check mqtt.username, mqtt.password/, () =>
      brokerSaid(/not authorised/, 4),
    );
    await expectGuestService();
    password(PASSWORD);
    hub.configure(sections({ broker: broker.url, ...password(PASSWORD), keepaliveSeconds: 30 }));
    expect(await hub.command('reload')).toMatchObject({ exitCode: 0 });
    await expectService();
  });
});

describe.each([
  { what: 'MQTT 5', protocolVersion: 5 },
  { what: 'MQTT 3.1.1', protocolVersion: '3.1.1' },
])('a broker that refuses something of $what', ({ protocolVersion }) => {
  const login = { username: 'hub', password: { file: '' } };

  beforeEach(() => {
    login.password.file = folder.file('password');
    writeFileSync(login.password.file, PASSWORD, { mode: 0o600 });
  });

  it('refuses the states of one line: no other is harmed', async () => {
    const acl = ['user hub', `topic deny ${HUB}/TAMPER/state`, `topic readwrite ${GATEWAY}/#`];
    await startBroker({ passwords: { hub: PASSWORD }, acl });
    await startService({ broker: broker.url, protocolVersion, ...login });
    await expectService();
    const from = sub.count;
    for (const level of [1, 0, 1] as const) {
      await hub.pins.set('TAMPER', level);
      await sub.waitFor(`${HUB}/TAMPER/event`, new RegExp(`"level":${level}`), { from });
    }
    expect(sub.payloads(`${HUB}/TAMPER/state`)).toEqual([]);
    if (protocolVersion === 5) {
      // 3.1.1 has no way to tell: the broker accepts the message and forgets it.
      const told = complaints();
      expect(told).toHaveLength(1);
      expect(told[0]).toContain(`the broker refuses what we publish on ${HUB}/TAMPER/state: not authorized`);
      expect((await hub.status()).mqtt?.counters.refusedPublications).toBeGreaterThanOrEqual(1);
    } else {
      expect(complaints()).toEqual([]);
    }
  });

  it('refuses the subscriptions to commands: said once each, and levels go out all the same', async () => {
    const refused = [`${GATEWAY}/+/+/set`, `${GATEWAY}/+/+/direction/set`, `${GATEWAY}/+/+/get`];
    await startBroker({ subscriptions: { username: 'hub', password: PASSWORD, refused } });
    await startService({ broker: broker.url, protocolVersion, ...login });
    await sub.waitFor(`${HUB}/BUTTON/state`, 'ON');
    await hub.pins.set('BUTTON', 0);
    await sub.waitFor(`${HUB}/BUTTON/state`, 'OFF');
    await hub.gateway.process.stderr.waitFor(/refuses the subscription to .*\/get/);
    const told = refused.map((filter) => expect.stringContaining(`refuses the subscription to ${filter}`));
    expect(complaints()).toEqual(told);
    expect((await hub.status()).mqtt).toMatchObject({ connected: true });
  });
});

describe('no broker', () => {
  it('of that name: said once, and the rest goes on', async () => {
    await startService({ broker: 'mqtt://broker.invalid:1883' });
    await hub.gateway.process.stderr.waitFor(/^(warn|error): .*mqtt/i);
    await expectGuestService();
    await expectOneComplaint(/broker\.invalid|ENOTFOUND|EAI_AGAIN/, async () => {});
  });

  it('at that port, until one is started there', async () => {
    const port = await freePort();
    await startService({ broker: `mqtt://127.0.0.1:${port}` });
    await hub.gateway.process.stderr.waitFor(/^(warn|error): .*mqtt/i);
    await expectGuestService();
    await expectOneComplaint(/ECONNREFUSED|refused/i, async () => {});
    broker = resources.add(await Mosquitto.start({ port }));
    sub = resources.add(await MosquittoSub.start(broker, `${GATEWAY}/#`));
    await sub.waitFor(`${GATEWAY}/status`, 'online');
    expect(complaints()).toHaveLength(1);
  });
});
