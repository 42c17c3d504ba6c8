/**
 * Home Assistant's device discovery over MQTT (protocols.md section 8; its documentation: "MQTT", section "Device discovery
 * payload", and the pages "MQTT binary sensor", "MQTT switch" and "MQTT sensor").
 *
 * Devices: the gateway, and one a chip that is reached via it. A line is a `binary_sensor`, or a `switch` when it is an
 * output that we may drive; inputs have a counter of their edges besides, and each chip tells whether it is there.
 * Ids hold the gateway, the chip and the line's segment, nothing that changes when lines come and go.
 */
import type { Access, Role } from '../../gpio/line-settings.ts';
import { deviceClasses, type LineComponent } from './home-assistant-classes.ts';
import { topicSegment } from './topic-names.ts';
import type { TopicTree } from './topic-tree.ts';

/** One message; to be published retained. An empty payload removes what was there. */
export interface DiscoveryMessage {
  readonly topic: string;
  readonly payload: string;
}

export interface DiscoveryChip {
  readonly name: string;
  /** The model that people see: the chip's label. */
  readonly label: string;
  /** Name of its co-processor; null for a chip that has none. */
  readonly coprocessor?: string | null;
}

export interface DiscoveryLine {
  readonly chip: string;
  readonly segment: string;
  /** The name that people see; a line without one is `line 13`. */
  readonly name: string;
  readonly offset: number;
  readonly role: Role;
  readonly access: Access;
  readonly deviceClass?: string | undefined;
}

export interface DiscoveryOptions {
  /** Home Assistant's discovery prefix, `homeassistant` unless it was changed there. */
  readonly prefix: string;
  readonly gateway: string;
  /** Of this service. */
  readonly version: string;
  /** Built from the same lines in the same order. */
  readonly topics: TopicTree;
  readonly chips: readonly DiscoveryChip[];
  readonly lines: readonly DiscoveryLine[];
}

/** The counters of a chip, as they are published. */
export interface ChipCounters {
  readonly edges: readonly { readonly segment: string; readonly count: number }[];
  readonly ambiguousEvents: number;
}

/**
 * So many offsets of a chip go into one message: some 30 KiB, which brokers with a limit (64 KiB in the embedded one) take.
 * The offset alone decides on the message of a line, so that no line moves between messages when others come and go.
 */
const OFFSETS_PER_MESSAGE = 32;

type Component = Readonly<Record<string, unknown>>;

/**
 * The payload of `<chip>/diagnostics`, which the sensors of discovery read:
 * `{"edges":{"<segment>":N,...},"ambiguousEvents":N}`. `edges` holds every line of the chip that is on MQTT, with the level
 * changes told since the service started; `ambiguousEvents` counts events whose level was unknown.
 */
export function diagnosticsPayload(counters: ChipCounters): string {
  const edges = Object.fromEntries(counters.edges.map(({ segment, count }) => [segment, count]));
  return JSON.stringify({ edges, ambiguousEvents: counters.ambiguousEvents });
}

/** What Home Assistant sees in a line. A line of role `any` is looked at, not driven. */
export function lineComponent(line: { readonly role: Role; readonly access: Access }): LineComponent {
  return line.role === 'output' && line.access !== 'read' ? 'switch' : 'binary_sensor';
}

/**
 * All messages of a gateway, to be published retained, and again when Home Assistant says `online` on its status topic: first
 * the gateway's, then each chip's (a chip with offsets above 31 has several, which are one device).
 */
export function discoveryMessages(options: DiscoveryOptions): DiscoveryMessage[] {
  const gateway = topicSegment(options.gateway);
  const byChip = new Map<string, { readonly line: DiscoveryLine; readonly index: number }[]>();
  options.lines.forEach((line, index) => {
    const ofChip = byChip.get(line.chip);
    if (ofChip === undefined) byChip.set(line.chip, [{ line, index }]);
    else ofChip.push({ line, index });
  });
  const messages = [gatewayMessage(options, gateway)];
  for (const chip of options.chips) {
    const components = new Map<number, Record<string, Component>>([
      [0, chipComponents(options, gateway, chip)],
    ]);
    for (const { line, index } of byChip.get(chip.name) ?? []) {
      const first = line.offset - (line.offset % OFFSETS_PER_MESSAGE);
      const message = components.get(first) ?? {};
      components.set(first, message);
      Object.assign(message, lineComponents(options, gateway, line, index));
    }
    const shared = chipShared(options, gateway, chip);
    for (const first of [...components.keys()].sort((a, b) => a - b)) {
      // With a node id the messages of one chip cannot meet those of another, whatever their names are.
      const id = `${gateway}_${topicSegment(chip.name)}${first === 0 ? '' : `/${first}`}`;
      messages.push({
        topic: `${options.prefix}/device/${id}/config`,
        payload: JSON.stringify({ ...shared, cmps: components.get(first) }),
      });
    }
  }
  return messages;
}

/**
 * What to publish before `after`, so that devices and entities that are gone are gone in Home Assistant, too: an empty payload
 * for each topic that `after` has no more; for a topic that has lost components, the new payload with the lost ones reduced to
 * their platform, which is how one component is removed (documentation: section "Device discovery payload").
 * @param before messages as they were published, or found retained at the broker; what is no message of discovery is left alone
 */
export function removalMessages(
  before: readonly DiscoveryMessage[],
  after: readonly DiscoveryMessage[],
): DiscoveryMessage[] {
  const later = new Map(after.map(({ topic, payload }) => [topic, payload]));
  const messages: DiscoveryMessage[] = [];
  for (const { topic, payload } of before) {
    const next = later.get(topic);
    if (next === undefined) {
      if (payload !== '') messages.push({ topic, payload: '' });
      continue;
    }
    const lost: [string, Component][] = [];
    const kept = componentsOf(next);
    for (const [id, platform] of componentsOf(payload)) {
      if (kept.get(id) !== platform) lost.push([id, { p: platform }]);
    }
    if (lost.length === 0) continue;
    const content = JSON.parse(next) as { cmps: Record<string, Component> };
    // A component that changed its platform is removed first, and comes back with the new payload.
    content.cmps = { ...content.cmps, ...Object.fromEntries(lost) };
    messages.push({ topic, payload: JSON.stringify(content) });
  }
  return messages;
}

function gatewayMessage(options: DiscoveryOptions, gateway: string): DiscoveryMessage {
  const id = deviceId(gateway);
  const payload = {
    dev: {
      identifiers: [id],
      name: `rproc-gpio ${options.gateway}`,
      model: 'rproc-gpio gateway',
      sw_version: options.version,
    },
    o: origin(options),
    qos: 1,
    cmps: {
      // It says itself when it is away: no availability, which would hide that.
      'gateway-connection': connectivity('Connection', `${id}/connection`, options.topics.status, [
        gateway,
        'connection',
      ]),
    },
  };
  return { topic: `${options.prefix}/device/${gateway}/config`, payload: JSON.stringify(payload) };
}

/** What all components of a chip share, besides its components. */
function chipShared(options: DiscoveryOptions, gateway: string, chip: DiscoveryChip): Component {
  return {
    dev: {
      identifiers: [deviceId(gateway, chip.name)],
      name: `${options.gateway} ${chip.name}`,
      ...(chip.label === '' ? {} : { model: chip.label }),
      sw_version: options.version,
      via_device: deviceId(gateway),
    },
    o: origin(options),
    availability: [{ topic: options.topics.status }, { topic: options.topics.chipStatus(chip.name) }],
    availability_mode: 'all',
    qos: 1,
  };
}

/** Ids of components begin with `chip-`, `line-` or `edges-`, so that no line's segment meets another component. */
function chipComponents(
  options: DiscoveryOptions,
  gateway: string,
  chip: DiscoveryChip,
): Record<string, Component> {
  const id = deviceId(gateway, chip.name);
  const { topics } = options;
  const name = chip.coprocessor === null ? 'Chip' : 'Co-processor';
  return {
    'chip-state': {
      ...connectivity(name, `${id}//state`, topics.chipStatus(chip.name), [gateway, chip.name, 'state']),
      // Without the chip's own status in the list: that a co-processor is down has to be seen, not to be unavailable.
      availability: [{ topic: topics.status }],
    },
    'chip-ambiguous-events': {
      p: 'sensor',
      unique_id: `${id}//ambiguousEvents`,
      default_entity_id: entityId('sensor', [gateway, chip.name, 'ambiguous_events']),
      name: 'Ambiguous events',
      state_topic: topics.diagnostics(chip.name),
      value_template: '{{ value_json.ambiguousEvents }}',
      ...COUNTER,
    },
  };
}

function lineComponents(
  options: DiscoveryOptions,
  gateway: string,
  line: DiscoveryLine,
  index: number,
): Record<string, Component> {
  const { topics } = options;
  const component = lineComponent(line);
  const name = line.name === '' ? `line ${line.offset}` : line.name;
  const id = `${deviceId(gateway, line.chip)}/${line.segment}`;
  const parts = [gateway, line.chip, line.segment];
  const hasClass = line.deviceClass !== undefined && deviceClasses(component).includes(line.deviceClass);
  const { state, set } = topics.line(index);
  const isSwitch = component === 'switch';
  const components: Record<string, Component> = {
    [`line-${line.segment}`]: {
      p: component,
      unique_id: id,
      default_entity_id: entityId(component, parts),
      name,
      ...(hasClass ? { device_class: line.deviceClass } : {}),
      state_topic: state,
      ...(isSwitch ? { command_topic: set, optimistic: false, retain: false } : {}),
      payload_on: 'ON',
      payload_off: 'OFF',
    },
  };
  if (!isSwitch) {
    components[`edges-${line.segment}`] = {
      p: 'sensor',
      unique_id: `${id}/edges`,
      default_entity_id: entityId('sensor', [...parts, 'edges']),
      name: `${name} edges`,
      state_topic: topics.diagnostics(line.chip),
      value_template: `{{ value_json.edges['${line.segment}'] }}`,
      ...COUNTER,
    };
  }
  return components;
}

const COUNTER = {
  state_class: 'total_increasing',
  entity_category: 'diagnostic',
  enabled_by_default: false,
} as const;

function connectivity(name: string, uniqueId: string, topic: string, parts: readonly string[]): Component {
  return {
    p: 'binary_sensor',
    unique_id: uniqueId,
    default_entity_id: entityId('binary_sensor', parts),
    name,
    device_class: 'connectivity',
    entity_category: 'diagnostic',
    state_topic: topic,
    payload_on: 'online',
    payload_off: 'offline',
  };
}

function origin(options: DiscoveryOptions): Component {
  return { name: 'rproc-gpio', sw_version: options.version };
}

/** All software on MQTT shares one space of ids: ours begin with our name. `/` is in no part, so that no two ids meet. */
function deviceId(...parts: readonly string[]): string {
  return ['rproc-gpio', ...parts].join('/');
}

/** The id that Home Assistant gives an entity unless it has one: `[a-z0-9_]`, without `__` and `_` at the ends. */
function entityId(domain: string, parts: readonly string[]): string {
  const slug = parts
    .join('_')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '_')
    .replace(/^_|_$/g, '');
  return `${domain}.${slug === '' ? 'rproc_gpio' : slug}`;
}

/** The platform of each component of a payload; nothing when it is no payload of device discovery. */
function componentsOf(payload: string): ReadonlyMap<string, string> {
  const platforms = new Map<string, string>();
  try {
    const { cmps } = JSON.parse(payload) as {
      readonly cmps: Readonly<Record<string, { readonly p?: unknown }>>;
    };
    for (const [id, component] of Object.entries(cmps)) {
      if (typeof component.p === 'string') platforms.set(id, component.p);
    }
  } catch {
    platforms.clear();
  }
  return platforms;
}
