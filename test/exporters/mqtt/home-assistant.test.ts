import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type DiscoveryLine,
  type DiscoveryMessage,
  diagnosticsPayload,
  discoveryMessages,
  lineComponent,
  removalMessages,
} from '../../../src/exporters/mqtt/home-assistant.ts';
import {
  BINARY_SENSOR_DEVICE_CLASSES,
  deviceClassFault,
  SWITCH_DEVICE_CLASSES,
} from '../../../src/exporters/mqtt/home-assistant-classes.ts';
import { assignSegments, topicFault } from '../../../src/exporters/mqtt/topic-names.ts';
import { TopicTree } from '../../../src/exporters/mqtt/topic-tree.ts';
import { type DeviceDiscovery, DISCOVERY_TOPIC, deviceDiscovery } from './home-assistant-schema.ts';

type LineWithoutSegment = Omit<DiscoveryLine, 'segment'>;
interface Chip {
  readonly name: string;
  readonly label: string;
  readonly coprocessor?: string | null;
}

function discover(
  all: readonly LineWithoutSegment[],
  chips: readonly Chip[] = [{ name: 'hub', label: 'sensor-hub' }],
  gateway = 'gw1',
): DiscoveryMessage[] {
  const segments = assignSegments(all);
  const lines = all.map((line, index) => ({ ...line, segment: segments[index]! }));
  const topics = new TopicTree({
    baseTopic: 'rproc-gpio',
    gateway,
    lines,
    chips: chips.map(({ name }) => name),
  });
  return discoveryMessages({ prefix: 'homeassistant', gateway, version: '0.1.0', topics, chips, lines });
}
const line = (offset: number, name: string, more: Partial<LineWithoutSegment> = {}): LineWithoutSegment => ({
  chip: 'hub',
  offset,
  name,
  role: 'any',
  access: 'write',
  ...more,
});
const decoded = ({ payload }: DiscoveryMessage): DeviceDiscovery =>
  deviceDiscovery.parse(JSON.parse(payload));

describe('discoveryMessages', () => {
  const [gateway, hub] = discover([
    line(0, 'IMU_INT', { role: 'input', deviceClass: 'motion' }),
    line(5, 'LED_STATUS', { role: 'output', deviceClass: 'outlet' }),
    line(13, ''),
  ]) as [DiscoveryMessage, DiscoveryMessage];

  it('tells of the gateway', () => {
    expect(gateway.topic).toBe('homeassistant/device/gw1/config');
    const { dev, o, cmps, availability } = decoded(gateway);
    expect(dev).toEqual({
      identifiers: ['rproc-gpio/gw1'],
      name: 'rproc-gpio gw1',
      model: 'rproc-gpio gateway',
      sw_version: '0.1.0',
    });
    expect(o).toEqual({ name: 'rproc-gpio', sw_version: '0.1.0' });
    expect(availability).toBeUndefined();
    expect(Object.values(cmps)).toEqual([
      {
        p: 'binary_sensor',
        unique_id: 'rproc-gpio/gw1/connection',
        default_entity_id: 'binary_sensor.gw1_connection',
        name: 'Connection',
        device_class: 'connectivity',
        entity_category: 'diagnostic',
        state_topic: 'rproc-gpio/gw1/status',
        payload_on: 'online',
        payload_off: 'offline',
      },
    ]);
  });

  it('tells of a chip, which is reached via the gateway, and available when both are', () => {
    expect(hub.topic).toBe('homeassistant/device/gw1_hub/config');
    const { dev, availability, availability_mode } = decoded(hub);
    expect(dev).toEqual({
      identifiers: ['rproc-gpio/gw1/hub'],
      name: 'gw1 hub',
      model: 'sensor-hub',
      sw_version: '0.1.0',
      via_device: decoded(gateway).dev.identifiers[0],
    });
    expect(availability).toEqual([
      { topic: 'rproc-gpio/gw1/status' },
      { topic: 'rproc-gpio/gw1/hub/status' },
    ]);
    expect(availability_mode).toBe('all');
  });

  it('makes an input a binary sensor, with its class and a counter of its edges', () => {
    const { cmps } = decoded(hub);
    expect(cmps['line-IMU_INT']).toEqual({
      p: 'binary_sensor',
      unique_id: 'rproc-gpio/gw1/hub/IMU_INT',
      default_entity_id: 'binary_sensor.gw1_hub_imu_int',
      name: 'IMU_INT',
      device_class: 'motion',
      state_topic: 'rproc-gpio/gw1/hub/IMU_INT/state',
      payload_on: 'ON',
      payload_off: 'OFF',
    });
    expect(cmps['edges-IMU_INT']).toEqual({
      p: 'sensor',
      unique_id: 'rproc-gpio/gw1/hub/IMU_INT/edges',
      default_entity_id: 'sensor.gw1_hub_imu_int_edges',
      name: 'IMU_INT edges',
      state_topic: 'rproc-gpio/gw1/hub/diagnostics',
      value_template: "{{ value_json.edges['IMU_INT'] }}",
      state_class: 'total_increasing',
      entity_category: 'diagnostic',
      enabled_by_default: false,
    });
    expect(cmps['line-line13']).toMatchObject({ p: 'binary_sensor', name: 'line 13' });
  });

  it('makes an output a switch that waits for the state', () => {
    const { cmps } = decoded(hub);
    expect(cmps['line-LED_STATUS']).toEqual({
      p: 'switch',
      unique_id: 'rproc-gpio/gw1/hub/LED_STATUS',
      default_entity_id: 'switch.gw1_hub_led_status',
      name: 'LED_STATUS',
      device_class: 'outlet',
      state_topic: 'rproc-gpio/gw1/hub/LED_STATUS/state',
      command_topic: 'rproc-gpio/gw1/hub/LED_STATUS/set',
      optimistic: false,
      retain: false,
      payload_on: 'ON',
      payload_off: 'OFF',
    });
    expect(cmps['edges-LED_STATUS']).toBeUndefined();
  });

  it('shows a co-processor that is down, which is not unavailable for that', () => {
    expect(decoded(hub).cmps['chip-state']).toEqual({
      p: 'binary_sensor',
      unique_id: 'rproc-gpio/gw1/hub//state',
      default_entity_id: 'binary_sensor.gw1_hub_state',
      name: 'Co-processor',
      device_class: 'connectivity',
      entity_category: 'diagnostic',
      state_topic: 'rproc-gpio/gw1/hub/status',
      payload_on: 'online',
      payload_off: 'offline',
      availability: [{ topic: 'rproc-gpio/gw1/status' }],
    });
    const [, soc] = discover([], [{ name: 'soc', label: '', coprocessor: null }]);
    expect(decoded(soc!).cmps['chip-state']?.name).toBe('Chip');
    expect(decoded(soc!).dev.model).toBeUndefined();
  });

  it('drives no line that may only be read, and leaves a class out that the component does not have', () => {
    expect(lineComponent({ role: 'output', access: 'read' })).toBe('binary_sensor');
    expect(lineComponent({ role: 'output', access: 'owner' })).toBe('switch');
    expect(lineComponent({ role: 'any', access: 'write' })).toBe('binary_sensor');
    expect(lineComponent({ role: 'input', access: 'write' })).toBe('binary_sensor');
    const [, other] = discover([line(1, 'A', { role: 'output', deviceClass: 'motion' })]);
    expect(decoded(other!).cmps['line-A']).not.toHaveProperty('device_class');
  });

  it('splits a large chip by offsets, so that every message is small and no line moves', () => {
    const all = Array.from({ length: 256 }, (_, offset) => line(offset, `A_RATHER_LONG_LINE_NAME_${offset}`));
    const messages = discover(all);
    expect(messages.map(({ topic }) => topic).slice(1, 4)).toEqual([
      'homeassistant/device/gw1_hub/config',
      'homeassistant/device/gw1_hub/32/config',
      'homeassistant/device/gw1_hub/64/config',
    ]);
    for (const { payload } of messages) expect(Buffer.byteLength(payload)).toBeLessThan(48 * 1024);
    const fewer = new Map(
      discover(all.filter(({ offset }) => offset % 3 === 0)).map((message) => [message.topic, message]),
    );
    for (const message of messages) {
      const after = fewer.get(message.topic)!;
      const before = decoded(message).cmps;
      for (const [id, component] of Object.entries(decoded(after).cmps))
        expect(before[id]).toEqual(component);
    }
  });

  const anyLine: fc.Arbitrary<LineWithoutSegment> = fc.record({
    chip: fc.constantFrom('hub', 'hub_2', 'hub-2', 'soc'),
    offset: fc.nat({ max: 100 }),
    name: fc.oneof(
      fc.constantFrom(
        '',
        '2_A',
        'A',
        '2_A_edges',
        'state',
        '__proto__',
        "it's",
        '}}',
        'edges-A',
        'A',
        '/',
        '//state',
      ),
      fc.string({ unit: 'binary', maxLength: 20 }),
    ),
    role: fc.constantFrom('input', 'output', 'any'),
    access: fc.constantFrom('read', 'write', 'owner'),
    deviceClass: fc.option(
      fc.constantFrom(...BINARY_SENSOR_DEVICE_CLASSES, ...SWITCH_DEVICE_CLASSES, 'nonsense'),
      { nil: undefined },
    ),
  });
  const anyLines = fc.uniqueArray(anyLine, {
    selector: ({ chip, offset }) => `${chip}/${offset}`,
    maxLength: 30,
  });
  const chips = ['hub', 'hub_2', 'hub-2', 'soc'].map((name) => ({ name, label: `${name} label` }));
  const anyGateway = fc.oneof(
    fc.constantFrom('gw', 'my.host.lan', 'hub'),
    fc.string({ unit: 'binary' }).filter((text) => topicFault(text) === null),
  );

  it('is what Home Assistant documents, with unique ids, whatever the lines are', () => {
    fc.assert(
      fc.property(anyLines, anyGateway, (all, gatewayName) => {
        const messages = discover(all, chips, gatewayName);
        const ids: string[] = [];
        const subscribed = new Set<string>();
        for (const message of messages) {
          expect(message.topic).toMatch(DISCOVERY_TOPIC);
          const { cmps } = decoded(message);
          for (const component of Object.values(cmps)) {
            ids.push(component.unique_id);
            if (component.p !== 'sensor') subscribed.add(component.state_topic!);
          }
        }
        expect(new Set(messages.map(({ topic }) => topic)).size).toBe(messages.length);
        expect(new Set(ids).size).toBe(ids.length);
        // The gateway's status, and of each chip its status and the states of its lines.
        expect(subscribed.size).toBe(1 + chips.length + all.length);
      }),
    );
  });

  it('keeps the ids of lines when lines are added behind', () => {
    fc.assert(
      fc.property(anyLines, fc.string(), (all, name) => {
        const before = discover(all, chips);
        const after = discover([...all, line(1000, name, { chip: 'soc' })], chips);
        const uniqueIds = (messages: readonly DiscoveryMessage[]) =>
          messages.flatMap((message) =>
            Object.values(decoded(message).cmps).map(({ unique_id }) => unique_id),
          );
        expect(uniqueIds(after)).toEqual(expect.arrayContaining(uniqueIds(before)));
      }),
      { numRuns: 50 },
    );
  });
});

describe('removalMessages', () => {
  const two = [
    { name: 'hub', label: '' },
    { name: 'soc', label: '' },
  ];

  it('removes devices that are gone, and only those', () => {
    const before = discover([line(0, 'A'), line(0, 'B', { chip: 'soc' })], two);
    const after = discover([line(0, 'A')], [two[0]!]);
    expect(removalMessages(before, after)).toEqual([
      { topic: 'homeassistant/device/gw1_soc/config', payload: '' },
    ]);
    expect(removalMessages(before, before)).toEqual([]);
    expect(removalMessages([], after)).toEqual([]);
    expect(removalMessages([{ topic: 'homeassistant/device/gw1_soc/config', payload: '' }], after)).toEqual(
      [],
    );
  });

  it('reduces components that are gone to their platform', () => {
    const before = discover([line(0, 'A'), line(1, 'B'), line(2, 'C', { role: 'output' })]);
    const after = discover([line(0, 'A'), line(1, 'B', { role: 'output' })]);
    const [removal, ...others] = removalMessages(before, after);
    expect(others).toEqual([]);
    expect(removal?.topic).toBe('homeassistant/device/gw1_hub/config');
    const { cmps, ...shared } = JSON.parse(removal!.payload);
    expect(cmps['line-C']).toEqual({ p: 'switch' });
    expect(cmps['edges-B']).toEqual({ p: 'sensor' });
    expect(cmps['line-B'], 'was a binary sensor, and becomes a switch').toEqual({ p: 'binary_sensor' });
    const { cmps: kept, ...same } = JSON.parse(after[1]!.payload);
    expect(shared).toEqual(same);
    expect(cmps['line-A']).toEqual(kept['line-A']);
  });

  it('takes any payload that was found at the broker', () => {
    const after = discover([line(0, 'A')]);
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.json(), fc.constantFrom('{"cmps":null}', '{"cmps":{"x":1}}', '[]')),
        (payload) => {
          const topic = after[1]!.topic;
          expect(removalMessages([{ topic, payload }], after)).toEqual([]);
        },
      ),
    );
  });
});

describe('diagnosticsPayload', () => {
  it('holds what the templates read', () => {
    const payload = diagnosticsPayload({
      edges: [
        { segment: 'IMU_INT', count: 12 },
        { segment: '__proto__', count: 3 },
      ],
      ambiguousEvents: 4,
    });
    expect(payload).toBe('{"edges":{"IMU_INT":12,"__proto__":3},"ambiguousEvents":4}');
  });
});

describe('deviceClassFault', () => {
  it('takes the classes of the component', () => {
    for (const name of BINARY_SENSOR_DEVICE_CLASSES)
      expect(deviceClassFault('binary_sensor', name)).toBeNull();
    for (const name of SWITCH_DEVICE_CLASSES) expect(deviceClassFault('switch', name)).toBeNull();
  });

  it.each([
    ['binary_sensor', 'motoin', 'did you mean "motion"?'],
    ['binary_sensor', 'Garage Door', 'did you mean "garage_door"?'],
    ['binary_sensor', 'vib', 'did you mean "vibration"?'],
    ['switch', 'swich', 'did you mean "switch"?'],
    ['switch', 'xyz', 'expected a device class of a switch: outlet, switch'],
    ['binary_sensor', 'outlet', '"outlet" is a class of outputs (role: output)'],
    ['switch', 'motion', '"motion" is a class of lines that are no outputs'],
    ['binary_sensor', '', 'expected a device class of a binary_sensor: battery, '],
  ] as const)('%s: %s', (component, name, right) => {
    expect(deviceClassFault(component, name)).toContain(right);
  });

  it('has an answer of bounded length for any text', () => {
    fc.assert(
      fc.property(fc.constantFrom('binary_sensor', 'switch'), fc.string(), (component, name) => {
        const fault = deviceClassFault(component, name);
        expect(fault === null || fault.length < 600).toBe(true);
      }),
    );
  });
});
