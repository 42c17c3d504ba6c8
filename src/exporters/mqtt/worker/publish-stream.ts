import type { Qos } from '../mqtt-options.ts';
import type { EncodedTopic } from './publish-encoder.ts';

/** A connection that publishes. */
export interface PublishStream {
  readonly isVersion5: boolean;
  /** What the broker takes; see `BrokerLimits`. */
  readonly limits: BrokerLimits;
  /** Whole packets. `done` is called when the operating system has them; never when the connection ends before. */
  write(packets: Buffer, done: (() => void) | null): void;
}

/** What a broker said in its CONNACK (MQTT 5.0, section 3.2.2.3), or its version allows. */
export interface BrokerLimits {
  /** Messages of QoS 1 and 2 on their way at a time. */
  readonly receiveMaximum: number;
  readonly maximumQos: Qos;
  readonly retainAvailable: boolean;
  readonly maximumPacketBytes: number;
}

/** A message that is sent as it is. */
export interface Message {
  readonly topic: EncodedTopic;
  /** For log messages. */
  readonly topicName: string;
  readonly payload: string;
  readonly payloadBytes: number;
  readonly properties?: Uint8Array | undefined;
  /** What it is: an answer is sent again when it may not have arrived, an announcement is made anew on each connection. */
  readonly kind: 'answer' | 'announcement';
}
