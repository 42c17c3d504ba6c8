import { Buffer } from 'node:buffer';
import type { Qos } from '../mqtt-options.ts';

/**
 * PUBLISH packets (MQTT 5.0 and 3.1.1, section 3.3), one behind the other in a buffer that is written at once.
 *
 * mqtt.js spends about 25 µs on a publish: objects, closures, and eight writes to the stream. A level change costs a
 * microsecond this way, which is what leaves two cores to the firmware, the guests and the broker. Everything else of the
 * protocol is mqtt.js's.
 *
 * Fixed header: type 3, DUP, QoS, RETAIN in a byte; remaining length, 1 to 4 bytes of 7 bits. Then the topic (length, UTF-8),
 * the packet identifier where QoS is not 0, in MQTT 5 the properties (length, properties), and the payload.
 */
const PUBLISH = 0x30;
const RETAIN = 0x01;
/** Section 2.2.2.2: identifiers of properties. */
const CORRELATION_DATA = 0x09;

/** PUBREL (section 3.6): fixed header with reserved bits, length 2, identifier; reason "success" by its absence. */
export function pubrel(packetId: number): Buffer {
  return Buffer.from([0x62, 2, packetId >>> 8, packetId & 0xff]);
}

/** A topic and its policy, ready to be written. */
export interface EncodedTopic {
  /** With its length before it. */
  readonly bytes: Uint8Array;
  readonly qos: Qos;
  readonly retain: boolean;
}

export function encodeTopic(topic: string, qos: Qos, retain: boolean): EncodedTopic {
  const text = Buffer.from(topic, 'utf8');
  const bytes = Buffer.alloc(2 + text.length);
  bytes.writeUInt16BE(text.length);
  text.copy(bytes, 2);
  return { bytes, qos, retain };
}

/** The text of an encoded topic. */
export function topicName({ bytes }: EncodedTopic): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + 2, bytes.length - 2).toString('utf8');
}

/** The property with which an answer is told from others; a part of the properties, without their length. */
export function correlationProperty(data: Uint8Array): Uint8Array {
  const property = Buffer.alloc(3 + data.length);
  property[0] = CORRELATION_DATA;
  property.writeUInt16BE(data.length, 1);
  property.set(data, 3);
  return property;
}

/** Size of a buffer; a longer packet gets one of its own. */
const BUFFER_BYTES = 64 * 1024;
/** Of fixed header, remaining length, identifier and property length, at most. */
const OVERHEAD_BYTES = 1 + 4 + 2 + 4;
const NO_PROPERTIES = new Uint8Array(0);

export class PublishEncoder {
  /** MQTT 5 has properties in each packet. */
  readonly #hasProperties: boolean;
  /** A broker that cannot retain closes the connection over it (MQTT 5.0, section 3.2.2.3.5). */
  readonly #canRetain: boolean;
  #buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  #start = 0;
  #end = 0;

  constructor(hasProperties: boolean, canRetain = true) {
    this.#hasProperties = hasProperties;
    this.#canRetain = canRetain;
  }

  /** Bytes since the last {@link take}. */
  get length(): number {
    return this.#end - this.#start;
  }

  /**
   * Appends a packet.
   * @param payload ASCII, or of a length in UTF-8 that is given
   * @param payloadBytes its length in UTF-8
   */
  append(
    topic: EncodedTopic,
    qos: number,
    packetId: number,
    payload: string,
    payloadBytes = payload.length,
    properties: Uint8Array = NO_PROPERTIES,
  ): void {
    const propertyBytes = this.#hasProperties ? varintSize(properties.length) + properties.length : 0;
    const remaining = topic.bytes.length + (qos > 0 ? 2 : 0) + propertyBytes + payloadBytes;
    this.#makeRoom(remaining + OVERHEAD_BYTES);
    const buffer = this.#buffer;
    let at = this.#end;
    buffer[at++] = PUBLISH | (qos << 1) | (topic.retain && this.#canRetain ? RETAIN : 0);
    at = writeVarint(buffer, at, remaining);
    buffer.set(topic.bytes, at);
    at += topic.bytes.length;
    if (qos > 0) {
      buffer[at++] = packetId >>> 8;
      buffer[at++] = packetId & 0xff;
    }
    if (this.#hasProperties) {
      at = writeVarint(buffer, at, properties.length);
      if (properties.length > 0) buffer.set(properties, at);
      at += properties.length;
    }
    if (payloadBytes === payload.length) buffer.write(payload, at, 'latin1');
    else buffer.write(payload, at, 'utf8');
    this.#end = at + payloadBytes;
  }

  /** Size of a packet, against the broker's maximum. */
  sizeOf(topic: EncodedTopic, payloadBytes: number, properties: Uint8Array = NO_PROPERTIES): number {
    return topic.bytes.length + payloadBytes + properties.length + OVERHEAD_BYTES;
  }

  /** The packets since the last call, in memory that is not used again while somebody has them. */
  take(): Buffer {
    const bytes = this.#buffer.subarray(this.#start, this.#end);
    this.#start = this.#end;
    return bytes;
  }

  #makeRoom(sizeBytes: number): void {
    if (this.#end + sizeBytes <= this.#buffer.length) return;
    const begun = this.#buffer.subarray(this.#start, this.#end);
    const larger = Buffer.allocUnsafe(Math.max(BUFFER_BYTES, begun.length * 2 + sizeBytes));
    larger.set(begun);
    this.#buffer = larger;
    this.#start = 0;
    this.#end = begun.length;
  }
}

function varintSize(value: number): number {
  if (value < 0x80) return 1;
  if (value < 0x4000) return 2;
  return value < 0x200000 ? 3 : 4;
}

/** Section 1.5.5. */
function writeVarint(buffer: Buffer, at: number, value: number): number {
  while (value >= 0x80) {
    buffer[at++] = (value & 0x7f) | 0x80;
    value >>>= 7;
  }
  buffer[at++] = value;
  return at;
}
