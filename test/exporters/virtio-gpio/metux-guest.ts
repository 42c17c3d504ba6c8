import type { VhostUserFrontEnd } from '../../../src/testing/front-end.ts';
import {
  decodeMetuxMessage,
  encodeMetuxMessage,
  FROM_DEVICE_QUEUE,
  METUX_LEVEL,
  TO_DEVICE_QUEUE,
} from '../../../src/wire/metux-gpio.ts';
import { until } from './served-device.ts';

/** As the driver of June 2021 announces them. */
const BUFFER_BYTES = 888;

/** A guest's metux driver: hands receive buffers out, as many as the test says, and notes what comes into them. */
export class MetuxGuest {
  readonly frontEnd: VhostUserFrontEnd;
  /** Everything received, as `type:line=value`, type in hex. */
  readonly received: string[] = [];
  /** Used lengths that were not 8. */
  readonly odd: number[] = [];
  /** Whether a buffer goes back as soon as its message was taken. */
  handsBack = true;
  /** Buffers of requests that came back. */
  returned = 0;
  /** Buffers that lie with the device. */
  posted = 0;

  constructor(frontEnd: VhostUserFrontEnd, buffers: number) {
    this.frontEnd = frontEnd;
    this.post(buffers);
  }

  post(count: number, sizeBytes = BUFFER_BYTES): void {
    for (let i = 0; i < count; i++) this.#post(this.frontEnd.memory.allocate(sizeBytes, 8), sizeBytes);
  }

  #post(address: number, sizeBytes: number): void {
    this.posted++;
    this.frontEnd.vring(FROM_DEVICE_QUEUE).offer(0, 0, address, sizeBytes, {
      resolve: (usedLength) => {
        this.posted--;
        if (usedLength !== 8) this.odd.push(usedLength);
        const { type, line, value } = decodeMetuxMessage(this.frontEnd.memory.read(address, 8));
        if (usedLength === 8) this.received.push(`${type.toString(16)}:${line}=${value}`);
        if (this.handsBack) this.#post(address, sizeBytes);
      },
      reject: () => {},
    });
  }

  send(type: number, line: number, value = 0, sizeBytes = 8): void {
    const address = this.frontEnd.memory.allocate(16, 8);
    this.frontEnd.memory.write(address, encodeMetuxMessage({ type, line, value }));
    this.frontEnd.vring(TO_DEVICE_QUEUE).offer(address, sizeBytes, 0, 0, {
      resolve: () => this.returned++,
      reject: () => {},
    });
  }

  get replies(): string[] {
    return this.received.filter((text) => !text.startsWith(`${METUX_LEVEL.toString(16)}:`));
  }

  get levels(): string[] {
    return this.received.filter((text) => text.startsWith(`${METUX_LEVEL.toString(16)}:`));
  }

  /** Sends, and waits for the reply. @returns the reply's value, signed, as text with its type */
  async ask(type: number, line: number, value = 0): Promise<string> {
    const before = this.replies.length;
    this.send(type, line, value);
    await until(() => this.replies.length > before);
    return this.replies[before]!;
  }
}
