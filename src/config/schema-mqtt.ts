import { z } from 'zod';
import { choice, integer, path, section, text } from './schema-fields.ts';
import { mqttLines } from './schema-lines.ts';

function secret(description: string) {
  const error = 'a map { file: PATH } or { env: NAME }: secrets are not written into this file';
  return z
    .union(
      [
        section('In a file.', { file: path('The file; a line end behind the secret is not part of it.') }),
        section('In the environment.', {
          env: text('Name of the environment variable.', 'the name of an environment variable'),
        }),
      ],
      { error },
    )
    .describe(description);
}

/** A part of a topic; `check-mqtt.ts` says what is wrong with one that is none. */
function topic(description: string, error: string) {
  return z.string({ error }).describe(description);
}

function policy(description: string, qos: 0 | 1 | 2, retain: boolean) {
  return section(description, {
    qos: z
      .literal([0, 1, 2], { error: '0, 1 or 2' })
      .describe('Quality of service: at most once, at least once, exactly once.')
      .default(qos),
    retain: z
      .boolean({ error: 'true or false' })
      .describe('Whether the broker keeps the last message for those who subscribe later.')
      .default(retain),
  }).prefault({});
}

/** The MQTT exporter. */
export const mqtt = section('Lines on MQTT ([mqtt.md](mqtt.md)).', {
  broker: text(
    'URL of the broker: `mqtt://HOST:PORT`, `mqtts://`, `ws://` or `wss://`; or `embedded`, a broker inside the service, for trying out and for those who have none.',
    '"embedded" or a URL such as "mqtt://127.0.0.1:1883"',
  ),
  port: integer('Port of the embedded broker; 0 takes a free one.', 0, 65535).optional(),
  bind: text(
    'Address on which the embedded broker listens. Only this machine can connect unless told otherwise; it asks for no password.',
    'an address such as "127.0.0.1" or "0.0.0.0"',
  ).optional(),
  baseTopic: topic('First part of all topics.', 'a topic such as "rproc-gpio"').default('rproc-gpio'),
  gateway: topic(
    'Name of this gateway, the second part of all topics; the host name (without its domain) when absent.',
    'a name such as "gateway1"',
  ).optional(),
  clientId: text('Client identifier; `rproc-gpio-GATEWAY` when absent.', 'text').optional(),
  protocolVersion: z
    .literal([5, '3.1.1'], { error: '5 or "3.1.1"' })
    .describe('Version of the protocol. The embedded broker speaks 3.1.1 in any case.')
    .default(5),
  username: z
    .union([text('User name.', 'a user name'), secret('User name, kept elsewhere.')], {
      error: 'a user name, or a map { file: PATH } or { env: NAME }',
    })
    .describe('User name for the broker.')
    .optional(),
  password: secret('Password for the broker.').optional(),
  tls: section('Certificates, for `mqtts://` and `wss://`.', {
    ca: path(
      "Certificates (PEM) of the authorities that may vouch for the broker; the system's when absent.",
    ).optional(),
    cert: path('Certificate (PEM) of this client.').optional(),
    key: path('Its private key (PEM).').optional(),
    serverName: text(
      "Name that the broker's certificate must have; that of the URL when absent.",
      'a host name',
    ).optional(),
  }).optional(),
  keepaliveSeconds: integer('Longest silence towards the broker.', 5, 65535, 's').default(60),
  connectTimeoutMs: integer(
    'How long the broker may take to accept the connection.',
    100,
    120_000,
    'ms',
  ).default(10_000),
  retry: section('Pauses between attempts to connect: they double from the first to the longest.', {
    minMs: integer('The first pause.', 10, 60_000, 'ms').default(500),
    maxMs: integer('The longest pause.', 10, 3_600_000, 'ms').default(30_000),
  }).prefault({}),
  topics: section('Quality of service and retention by kind of topic.', {
    status: policy('Availability of the gateway and of its chips.', 1, true),
    state: policy('Levels, `ON` and `OFF`.', 1, true),
    direction: policy('Directions.', 1, true),
    event: policy('One message an edge.', 0, false),
    result: policy('Answers to commands.', 0, false),
    diagnostics: policy('Counters of a chip.', 0, true),
    commandQos: z
      .literal([0, 1, 2], { error: '0, 1 or 2' })
      .describe('Quality of service with which commands are subscribed to.')
      .default(1),
  }).prefault({}),
  eventQueueLimit: integer(
    'Events that are kept while the broker is away or slow; then the oldest go, and `seq` shows the gap.',
    1,
    1_000_000,
    'messages',
  ).default(10_000),
  lines: mqttLines.default([{ line: '*', access: 'write', role: 'any' }]),
  homeAssistant: section("Home Assistant's discovery.", {
    discoveryPrefix: topic('Its topic prefix.', 'a topic such as "homeassistant"').default('homeassistant'),
  }).optional(),
});

/** The control socket. */
export const control = section(
  'The socket for the commands `get`, `set`, `mon`, `status`, ... ([control.md](control.md)).',
  {
    enabled: z.boolean({ error: 'true or false' }).describe('Whether there is one.').default(true),
    socket: path(
      'The socket. When absent: `$RPROC_GPIO_SOCKET`, or `/run/rproc-gpio/control.sock` for root, or else `rproc-gpio/control.sock` in `$XDG_RUNTIME_DIR`.',
    ).optional(),
    group: text('Group whose members may use it, besides its owner.', 'the name of a group').optional(),
    access: choice('Whether the commands may drive lines.', ['read', 'write']).default('write'),
  },
);
