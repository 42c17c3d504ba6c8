/**
 * What Home Assistant takes as a device discovery payload, written after its documentation, integrations "MQTT" (sections "Device
 * discovery payload", "Using availability topics", "Adding information about the origin of a discovery message"), "MQTT binary
 * sensor", "MQTT switch" and "MQTT sensor", and after "Entity": "Entity category". Home Assistant ignores keys that it does not know;
 * here they are faults, because a key with a typing error would be ignored.
 */
import { z } from 'zod';
import {
  BINARY_SENSOR_DEVICE_CLASSES,
  SWITCH_DEVICE_CLASSES,
} from '../../../src/exporters/mqtt/home-assistant-classes.ts';

/** A topic to subscribe to or to publish on: MQTT 5.0, section 4.7. */
const topic = z
  .string()
  .min(1)
  .regex(/^[^+#\0]+$/);
const text = z.string().min(1);
const template = z.string().regex(/^\{\{ .+ \}\}$/);
const qos = z.literal([0, 1, 2]);
const flag = z.boolean();

const availability = z.array(
  z.strictObject({
    topic,
    payload_available: text.optional(),
    payload_not_available: text.optional(),
    value_template: template.optional(),
  }),
);
const availabilityMode = z.literal(['all', 'any', 'latest']);

const device = z.strictObject({
  configuration_url: z.url().optional(),
  connections: z.array(z.tuple([text, text])).optional(),
  hw_version: text.optional(),
  identifiers: z.array(text).min(1),
  manufacturer: text.optional(),
  model: text.optional(),
  model_id: text.optional(),
  name: text,
  serial_number: text.optional(),
  suggested_area: text.optional(),
  sw_version: text.optional(),
  via_device: text.optional(),
});

const origin = z.strictObject({ name: text, sw_version: text.optional(), support_url: z.url().optional() });

/** Keys of every entity. The device and the origin belong to the payload, never to a component. */
const entity = {
  availability: availability.optional(),
  availability_mode: availabilityMode.optional(),
  enabled_by_default: flag.optional(),
  encoding: text.optional(),
  entity_picture: z.url().optional(),
  icon: z.string().regex(/^mdi:/).optional(),
  json_attributes_template: template.optional(),
  json_attributes_topic: topic.optional(),
  name: text.nullable(),
  qos: qos.optional(),
  /** Required of entities in a device discovery payload. */
  unique_id: text,
};
const entityId = (domain: string) =>
  z.string().regex(new RegExp(`^${domain}\\.(?!.*__)[a-z0-9](?:[a-z0-9_]*[a-z0-9])?$`));

const binarySensor = z.strictObject({
  ...entity,
  p: z.literal('binary_sensor'),
  default_entity_id: entityId('binary_sensor').optional(),
  device_class: z.literal([...BINARY_SENSOR_DEVICE_CLASSES]).optional(),
  // A sensor configures nothing.
  entity_category: z.literal('diagnostic').optional(),
  expire_after: z.int().positive().optional(),
  force_update: flag.optional(),
  off_delay: z.int().positive().optional(),
  payload_off: text.optional(),
  payload_on: text.optional(),
  state_topic: topic,
  value_template: template.optional(),
});

const switchEntity = z.strictObject({
  ...entity,
  p: z.literal('switch'),
  command_template: template.optional(),
  command_topic: topic,
  default_entity_id: entityId('switch').optional(),
  device_class: z.literal([...SWITCH_DEVICE_CLASSES]).optional(),
  entity_category: z.literal(['config', 'diagnostic']).optional(),
  optimistic: flag.optional(),
  payload_off: text.optional(),
  payload_on: text.optional(),
  retain: flag.optional(),
  state_off: text.optional(),
  state_on: text.optional(),
  state_topic: topic.optional(),
  value_template: template.optional(),
});

const sensor = z.strictObject({
  ...entity,
  p: z.literal('sensor'),
  default_entity_id: entityId('sensor').optional(),
  entity_category: z.literal('diagnostic').optional(),
  expire_after: z.int().positive().optional(),
  force_update: flag.optional(),
  state_class: z.literal(['measurement', 'measurement_angle', 'total', 'total_increasing']).optional(),
  state_topic: topic,
  suggested_display_precision: z.int().nonnegative().optional(),
  unit_of_measurement: text.optional(),
  value_template: template.optional(),
});

/** The payload of `<prefix>/device/[<node id>/]<object id>/config`. */
export const deviceDiscovery = z.strictObject({
  dev: device,
  o: origin,
  cmps: z.record(
    z.string().regex(/^[A-Za-z0-9_-]+$/),
    z.discriminatedUnion('p', [binarySensor, switchEntity, sensor]),
  ),
  availability: availability.optional(),
  availability_mode: availabilityMode.optional(),
  command_topic: topic.optional(),
  state_topic: topic.optional(),
  qos: qos.optional(),
  encoding: text.optional(),
});

export type DeviceDiscovery = z.output<typeof deviceDiscovery>;

/** The discovery topic: ids hold letters, digits, `_` and `-`; the node id is optional. */
export const DISCOVERY_TOPIC =
  /^(?<prefix>.+)\/device\/(?:(?<nodeId>[a-zA-Z0-9_-]+)\/)?(?<objectId>[a-zA-Z0-9_-]+)\/config$/;
