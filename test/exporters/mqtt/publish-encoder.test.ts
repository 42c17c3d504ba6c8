import fc from 'fast-check';
import mqttPacket, { type IPublishPacket } from 'mqtt-packet';
import { describe, expect, it } from 'vitest';
import type { Qos } from '../../../src/exporters/mqtt/mqtt-options.ts';
import {
  correlationProperty,
  encodeTopic,
  PublishEncoder,
  pubrel,
} from '../../../src/exporters/mqtt/worker/publish-encoder.ts';

function parse(bytes: Uint8Array, protocolVersion: 4 | 5): mqttPacket.Packet[] {
  const packets: mqttPacket.Packet[] = [];
  const parser = mqttPacket.parser({ protocolVersion });
  parser.on('packet', (packet) => packets.push(packet));
  parser.on('error', (error) => {
    throw error;
  });
  parser.parse(Buffer.from(bytes));
  return packets;
}

describe('PUBLISH packets', () => {
  it('are the bytes of the specification', () => {
    const encoder = new PublishEncoder(true);
    encoder.append(encodeTopic('a/b', 1, true), 1, 0x1234, 'ON');
    expect(encoder.take().toString('hex')).toBe('330a0003612f62123400' + '4f4e');
    const old = new PublishEncoder(false);
    old.append(encodeTopic('a/b', 0, false), 0, 0, 'ON');
    expect(old.take().toString('hex')).toBe('30070003612f62' + '4f4e');
    expect(pubrel(0x1234).toString('hex')).toBe('62021234');
  });

  it('are read by others as they were meant, many in one buffer', () => {
    const message = fc.record({
      topic: fc.string({ minLength: 1, maxLength: 300, unit: 'grapheme' }),
      qos: fc.constantFrom<Qos>(0, 1, 2),
      retain: fc.boolean(),
      id: fc.integer({ min: 1, max: 1000 }),
      payload: fc.oneof(
        fc.string({ unit: 'grapheme' }),
        fc.integer({ min: 0, max: 70_000 }).map((length) => 'x'.repeat(length)),
      ),
      correlation: fc.option(fc.uint8Array({ maxLength: 200 })),
    });
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 6 }), fc.boolean(), (messages, isVersion5) => {
        const encoder = new PublishEncoder(isVersion5);
        for (const { topic, qos, retain, id, payload, correlation } of messages) {
          const properties =
            isVersion5 && correlation !== null ? correlationProperty(correlation) : undefined;
          encoder.append(
            encodeTopic(topic, qos, retain),
            qos,
            id,
            payload,
            Buffer.byteLength(payload),
            properties,
          );
        }
        const bytes = encoder.take();
        expect(encoder.length).toBe(0);
        const packets = parse(bytes, isVersion5 ? 5 : 4) as IPublishPacket[];
        expect(packets).toHaveLength(messages.length);
        packets.forEach((packet, i) => {
          const { topic, qos, retain, id, payload, correlation } = messages[i] as (typeof messages)[number];
          expect([packet.topic, packet.qos, packet.retain]).toEqual([topic, qos, retain]);
          expect(packet.payload.toString('utf8')).toBe(Buffer.from(payload).toString('utf8'));
          if (qos > 0) expect(packet.messageId).toBe(id);
          if (isVersion5 && correlation !== null)
            expect(packet.properties?.correlationData).toEqual(Buffer.from(correlation));
        });
      }),
      { numRuns: 60 },
    );
  });

  it('are not written over while somebody has them', () => {
    const encoder = new PublishEncoder(true);
    const topic = encodeTopic('t', 0, false);
    encoder.append(topic, 0, 0, 'first');
    const first = encoder.take();
    const copy = Buffer.from(first);
    for (let i = 0; i < 20_000; i++) {
      encoder.append(topic, 0, 0, 'another');
      if (i % 100 === 0) encoder.take();
    }
    expect(first.equals(copy)).toBe(true);
  });
});
