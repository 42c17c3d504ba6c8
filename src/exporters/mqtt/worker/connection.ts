import mqtt, { type IClientOptions, type IConnackPacket, type MqttClient, type Packet } from 'mqtt';
import type { MqttOptions, Qos } from '../mqtt-options.ts';
import { connackText, disconnectText, failureText } from './failure-text.ts';
import { MAX_IN_FLIGHT } from './in-flight.ts';
import type { BrokerLimits, PublishStream } from './publish-stream.ts';

/** A message that the broker sent. */
export interface Incoming {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly isRetained: boolean;
  /** MQTT 5: where to answer, and with what. */
  readonly responseTopic: string | undefined;
  readonly correlationData: Uint8Array | undefined;
}

export interface ConnectionListener {
  /** The broker has accepted it. */
  opened(): void;
  message(message: Incoming): void;
  /** PUBREC. */
  received(packetId: number, reasonCode: number): void;
  /** PUBACK, PUBCOMP. */
  confirmed(packetId: number, reasonCode: number): void;
  /** It has ended, or could not be made. Told once; nothing after it. */
  closed(reason: string): void;
}

/** How long a broker may take to close the connection after our DISCONNECT. */
const END_MS = 300;
/** Largest packet of MQTT (section 1.5.5: four bytes of seven bits), and its fixed header. */
const LARGEST_PACKET_BYTES = 268_435_455 + 5;

/**
 * One connection to a broker, from the attempt to its end: mqtt.js does the protocol, our publisher writes PUBLISH packets
 * to its stream.
 */
export class Connection implements PublishStream {
  readonly isVersion5: boolean;
  limits: BrokerLimits = {
    receiveMaximum: MAX_IN_FLIGHT,
    maximumQos: 2,
    retainAvailable: true,
    maximumPacketBytes: LARGEST_PACKET_BYTES,
  };
  readonly #client: MqttClient;
  readonly #options: MqttOptions;
  readonly #listener: ConnectionListener;
  #isOpen = false;
  #isClosed = false;
  /** Said by the broker before it closes. */
  #farewell: string | null = null;

  constructor(options: MqttOptions, connectOptions: IClientOptions, listener: ConnectionListener) {
    this.#options = options;
    this.#listener = listener;
    this.isVersion5 = options.protocolVersion === 5;
    const client = mqtt.connect(connectOptions);
    this.#client = client;
    client.on('connect', (packet) => this.#opened(packet));
    client.on('packetreceive', (packet) => this.#packet(packet));
    client.on('message', (topic, payload, packet) => {
      const { responseTopic, correlationData } = packet.properties ?? {};
      const isRetained = packet.retain === true;
      if (!this.#isClosed)
        this.#listener.message({ topic, payload, isRetained, responseTopic, correlationData });
    });
    client.on('disconnect', (packet) => {
      this.#farewell = disconnectText(packet.reasonCode ?? 0x80);
    });
    client.on('error', (error) => this.#failed(error));
    // mqtt.js keeps errors without a code to itself.
    client.stream.on('error', (error: Error) => this.#failed(error));
    client.on('close', () => this.#close(this.#farewell ?? this.#closeReason()));
    const { stream } = client as { stream: { setNoDelay?: (on: boolean) => void } };
    // A level change must not wait for the confirmation of the one before (Nagle's algorithm).
    stream.setNoDelay?.(true);
  }

  #closeReason(): string {
    if (this.#isOpen) return 'the broker has closed the connection';
    const hint = this.isVersion5
      ? '; one that speaks only MQTT 3.1.1 needs mqtt.protocolVersion "3.1.1"'
      : '';
    return `the broker has closed the connection instead of accepting it${hint}`;
  }

  #opened(packet: IConnackPacket): void {
    if (this.#isClosed) return;
    const { receiveMaximum, maximumQoS, retainAvailable, maximumPacketSize } = packet.properties ?? {};
    this.limits = {
      receiveMaximum: receiveMaximum ?? MAX_IN_FLIGHT,
      maximumQos: Math.min(maximumQoS ?? 2, 2) as Qos,
      retainAvailable: retainAvailable !== false,
      maximumPacketBytes: maximumPacketSize ?? LARGEST_PACKET_BYTES,
    };
    this.#isOpen = true;
    this.#listener.opened();
  }

  #packet(packet: Packet): void {
    if (this.#isClosed) return;
    if (packet.cmd === 'puback' || packet.cmd === 'pubcomp')
      this.#listener.confirmed(packet.messageId ?? 0, packet.reasonCode ?? 0);
    else if (packet.cmd === 'pubrec') this.#listener.received(packet.messageId ?? 0, packet.reasonCode ?? 0);
  }

  #failed(error: Error & { code?: unknown }): void {
    // A refused CONNECT, and other refusals that mqtt.js ends a connection with, have the reason code as the error's.
    const isRefusal = !this.#isOpen && typeof error.code === 'number';
    this.#close(
      isRefusal ? connackText(error.code as number, this.#options) : failureText(error, this.#options),
    );
  }

  #close(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#client.end(true);
    this.#listener.closed(reason);
  }

  write(packets: Uint8Array, done: (() => void) | null): void {
    if (this.#isClosed) return;
    this.#client.stream.write(packets as Buffer, (error?: Error | null) => {
      if (!this.#isClosed && !error) done?.();
    });
  }

  /** @param refused hears of filters that the broker does not grant */
  subscribe(filters: readonly string[], qos: Qos, refused: (filter: string) => void): void {
    if (filters.length === 0 || this.#isClosed) return;
    this.#client.subscribe([...filters], { qos }, (_error, _granted, packet) => {
      if (this.#isClosed) return;
      (packet?.granted ?? []).forEach((code, at) => {
        // 0x80 in MQTT 3.1.1 (section 3.9.3), 0x80 and above in MQTT 5.
        if (Number(code) >= 0x80) refused(filters[at] as string);
      });
    });
  }

  /** Ends it without a will, after all that was written. @param done hears when the connection is closed */
  end(done: () => void): void {
    if (this.#isClosed) return done();
    this.#isClosed = true;
    // A broker that does not read or does not close must not hold us up.
    const timer = setTimeout(() => this.#client.stream.destroy(), END_MS);
    this.#client.stream.once('close', () => {
      clearTimeout(timer);
      done();
    });
    this.#client.end(false);
  }

  /** Ends it at once. */
  destroy(): void {
    this.#isClosed = true;
    this.#client.end(true);
  }
}
