import { describe, expect, it } from 'vitest';
import { formatStatus, formatUptime } from '../../src/cli/status-format.ts';
import type { ServiceStatus } from '../../src/wire/control.ts';
import { ControlService } from './control-service.ts';

const STATUS: ServiceStatus = {
  version: '0.1.0',
  pid: 1234,
  startedAtMs: 1_000_000,
  configFile: '/etc/rproc-gpio.yaml',
  coprocessors: [
    { name: 'hub', state: 'running', restarts: 3 },
    {
      name: 'spare',
      state: 'failed',
      restarts: 0,
      remoteproc: 'crashed',
      reason: 'its firmware ended with exit code 3',
    },
  ],
  chips: [
    {
      name: 'hub',
      label: 'virtio-gpio on hub',
      lineCount: 16,
      available: true,
      coprocessor: 'hub',
      edges: 12345,
      ambiguousEvents: 0,
    },
    {
      name: 'plain',
      label: 'virtio-gpio on spare',
      lineCount: 4,
      available: false,
      coprocessor: 'spare',
      edges: 7,
      ambiguousEvents: 2,
      counters: { timeouts: 0, droppedEvents: 17 },
    },
  ],
  exports: [
    {
      name: 'vm1',
      socket: '/run/rproc-gpio/vm1.sock',
      lines: 16,
      connected: true,
      features: ['IRQ', 'RING_EVENT_IDX', 'RING_INDIRECT_DESC', 'VERSION_1', 'ANY_LAYOUT', 'IN_ORDER'],
      counters: {
        requests: 1234567,
        errors: 3,
        interrupts: 99,
        invalidEvents: 0,
        badChains: { loop: 2, 'no response buffer': 1 },
      },
    },
    {
      name: 'vm2',
      socket: '/run/rproc-gpio/vm2.sock',
      lines: 1,
      connected: false,
      features: [],
      counters: { requests: 0, errors: 0, interrupts: 0, invalidEvents: 0, badChains: {} },
    },
  ],
  mqtt: {
    broker: 'mqtts://broker.example:8883',
    connected: false,
    reason: 'the certificate has expired',
    counters: {
      published: 4000,
      eventsDropped: 12,
      commands: 5,
      refusedCommands: 1,
      badCommands: 2,
      ignoredRetained: 3,
      refusedPublications: 6,
      reconnects: 4,
    },
  },
  control: {
    connections: 1,
    counters: {
      requests: 10,
      errors: 2,
      badRequests: 1,
      refusedConnections: 0,
      edges: 1000,
      droppedEdges: 0,
    },
  },
  owners: [
    { line: 'hub/LED_STATUS', owner: 'guest vm1' },
    { line: 'hub/RELAY_1', owner: 'command line' },
  ],
};

describe('status', () => {
  it('tells everything in 80 columns', () => {
    const text = formatStatus(STATUS, 1_000_000 + 2 * 3_600_000 + 5 * 60_000);
    expect(text).toBe(`rproc-gpio 0.1.0, process 1234, up 2 h 5 min
configuration: /etc/rproc-gpio.yaml

CO-PROCESSOR  STATE    RETURNS
hub           running        3
spare         failed         0
  remoteproc: crashed
  reason: its firmware ended with exit code 3

CHIP   LINES  STATE        EDGES
hub       16  available    12345
  label: virtio-gpio on hub
  co-processor: hub
plain      4  unavailable      7
  label: virtio-gpio on spare
  co-processor: spare
  ambiguous events: 2
  droppedEvents: 17

GUEST  LINES  FRONT-END  SOCKET
vm1       16  connected  /run/rproc-gpio/vm1.sock
  features: IRQ RING_EVENT_IDX RING_INDIRECT_DESC VERSION_1 ANY_LAYOUT IN_ORDER
  requests 1234567, errors 3, interrupts 99, invalid events 0
  bad chains: loop 2, no response buffer 1
vm2        1  away       /run/rproc-gpio/vm2.sock
  features: none yet
  requests 0, errors 0, interrupts 0, invalid events 0

MQTT
  broker: mqtts://broker.example:8883
  not connected: the certificate has expired
  published 4000, refused by the broker 6, events dropped 12, commands 5,
    refused 1, malformed 2, retained ignored 3, reconnects 4

OUTPUT          OWNER
hub/LED_STATUS  guest vm1
hub/RELAY_1     command line

CONTROL SOCKET
  connections 1, requests 10, errors 2, malformed 1, turned away 0, edges 1000,
    dropped 0
`);
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  });

  it('of the demo, without what it has not', () => {
    const empty = { coprocessors: [], chips: [], exports: [], mqtt: null, control: null, owners: [] };
    expect(formatStatus({ ...STATUS, ...empty, configFile: null }, 1_000_000)).toBe(
      'rproc-gpio 0.1.0, process 1234, up 0 s\nconfiguration: built in\n',
    );
  });

  it('prints no control characters of others', () => {
    const reason = 'connack: \u001b[2Jbad\nrproc-gpio: fine';
    const text = formatStatus({ ...STATUS, mqtt: { ...STATUS.mqtt!, reason } }, 1_000_000);
    expect(text).toContain('connack: \\x1b[2Jbad\\x0arproc-gpio: fine');
    expect(text).not.toContain('\u001b');
  });

  it.each([
    [0, '0 s'],
    [59_999, '59 s'],
    [60_000, '1 min'],
    [3_600_000, '1 h 0 min'],
    [90_000_000, '1 d 1 h'],
    [-5, '0 s'],
  ])('%d ms are %s', (durationMs, text) => expect(formatUptime(durationMs)).toBe(text));

  it('comes from the service, as text or as one JSON object', async () => {
    const service = await ControlService.start();
    service.status = { ...STATUS, startedAtMs: Date.now() - 60_000 };
    const text = await service.run(['status']);
    expect({ code: text.code, stderr: text.stderr }).toEqual({ code: 0, stderr: '' });
    expect(text.stdout).toMatch(/^rproc-gpio 0\.1\.0, process 1234, up 1 min\n/);
    expect(text.stdout).toContain('hub/LED_STATUS  guest vm1\n');
    const json = await service.run(['status', '--json']);
    const lines = json.stdout.trimEnd().split('\n');
    expect(lines.length).toBe(1);
    expect(JSON.parse(lines[0]!)).toMatchObject({ pid: 1234, mqtt: STATUS.mqtt, owners: STATUS.owners });
  });
});

describe('reload', () => {
  it('prints what was applied', async () => {
    const service = await ControlService.start();
    expect(await service.run(['reload'])).toEqual({ code: 0, stdout: 'nothing changed\n', stderr: '' });
    const changed = ['export vm2: added', 'mqtt: the broker is now mqtt://10.0.0.1'];
    service.reload = async () => ({ changed, unchanged: false });
    expect((await service.run(['reload'])).stdout).toBe(
      'export vm2: added\nmqtt: the broker is now mqtt://10.0.0.1\n',
    );
    const json = await service.run(['reload', '--json']);
    expect(JSON.parse(json.stdout)).toEqual({ changed, unchanged: false });
  });

  it('says why it was refused', async () => {
    const service = await ControlService.start();
    service.reload = () =>
      Promise.reject(
        Object.assign(new Error('rproc-gpio.yaml:3:5: exports.vm1: has 3 lines; guest vm1 runs with 2'), {
          code: 'ERR_CONFIG',
        }),
      );
    expect(await service.run(['reload'])).toEqual({
      code: 1,
      stdout: '',
      stderr: 'rproc-gpio: rproc-gpio.yaml:3:5: exports.vm1: has 3 lines; guest vm1 runs with 2\n',
    });
  });
});
