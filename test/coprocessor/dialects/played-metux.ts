import { MetuxChip } from '../../../src/coprocessor/dialects/metux.ts';
import {
  decodeMetuxMessage,
  encodeMetuxConfig,
  encodeMetuxMessage,
  METUX_GET_DIRECTION,
  METUX_LEVEL,
  METUX_MESSAGE_SIZE,
  REPLY_2021,
} from '../../../src/wire/metux-gpio.ts';
import { encodeNames } from '../../../src/wire/virtio-gpio.ts';
import { PlayedFirmware, type PlayedOptions } from './played-firmware.ts';

const FROM_DEVICE = 0;
const TO_DEVICE = 1;

export interface PlayedMetuxOptions extends Omit<PlayedOptions, 'namesAnswer'> {
  readonly replyMask?: number;
}

/** A message that the device has taken. */
export interface Message {
  readonly type: number;
  readonly line: number;
  readonly value: number;
}

/** The device side of metux virtio-gpio, message by message, as a test says. */
export class PlayedMetux {
  readonly firmware: PlayedFirmware;
  readonly replyMask: number;
  readonly lineCount: number;

  constructor(options: PlayedMetuxOptions = {}) {
    const { lineCount = 4, names = [], replyMask = REPLY_2021 } = options;
    this.lineCount = lineCount;
    this.replyMask = replyMask;
    // Without names of its own: it would answer the standard's request for them.
    const { names: _names, ...others } = options;
    const config = encodeMetuxConfig('hub', lineCount, encodeNames(names));
    this.firmware = new PlayedFirmware({ queueSizes: [16, 16], features: 0, lineCount, config, ...others });
  }

  /** Opens the chip and answers what that asks. */
  async open(): Promise<MetuxChip> {
    const opening = this.opening();
    for (const message of this.take()) this.reply(message, 1);
    this.ring();
    return await opening;
  }

  opening(): Promise<MetuxChip> {
    const { poller, options } = this.firmware;
    const { requestTimeoutMs = 100 } = options;
    return MetuxChip.open(this.firmware, { name: 'hub', where: 'm4', poller, requestTimeoutMs });
  }

  /** Takes all requests that lie there, and gives their buffers back. */
  take(): Message[] {
    const queue = this.firmware.queue(TO_DEVICE);
    const taken: Message[] = [];
    for (let chain = queue.pop(); chain !== null; chain = queue.pop()) {
      if (chain.fault !== 0 || chain.readableBytes !== METUX_MESSAGE_SIZE || chain.writableBytes !== 0)
        throw new Error('not a message');
      const bytes = Uint8Array.from({ length: METUX_MESSAGE_SIZE }, (_, i) => chain!.readU8(i));
      taken.push(decodeMetuxMessage(bytes));
      queue.push(chain, 0);
    }
    if (queue.publish()) this.ring();
    return taken;
  }

  /** As `type:line=value`. */
  static text({ type, line, value }: Message): string {
    return `${type}:${line}=${value}`;
  }

  /** Puts bytes into a receive buffer; false when there is none. */
  raw(bytes: Uint8Array, usedBytes = bytes.length): boolean {
    const queue = this.firmware.queue(FROM_DEVICE);
    const chain = queue.pop();
    if (chain === null) return false;
    if (chain.readableBytes !== 0 || chain.writableBytes !== METUX_MESSAGE_SIZE)
      throw new Error('not a receive buffer');
    chain.write(0, bytes);
    queue.push(chain, usedBytes);
    return true;
  }

  reply({ type, line }: Message, value: number, mask = this.replyMask): boolean {
    return this.raw(encodeMetuxMessage({ type: type | mask, line, value }));
  }

  level(line: number, value: number): boolean {
    return this.raw(encodeMetuxMessage({ type: METUX_LEVEL, line, value }));
  }

  /** Makes what was put visible, and rings if the driver wants that. */
  publish(): void {
    if (this.firmware.queue(FROM_DEVICE).publish()) this.ring();
  }

  ring(): void {
    this.firmware.queue(FROM_DEVICE).publish();
    this.firmware.ring();
  }

  /** Answers everything there is, and what comes of it, as {@link answerOf} says; returns the requests. */
  serve(answerOf: (message: Message) => number): string[] {
    const served: string[] = [];
    for (let taken = this.take(); taken.length > 0; taken = this.take()) {
      for (const message of taken) {
        served.push(PlayedMetux.text(message));
        if (!this.reply(message, answerOf(message))) throw new Error('no receive buffer');
      }
      this.ring();
    }
    return served;
  }
}

/** A device whose lines are inputs until they are made outputs, for {@link PlayedMetux.serve}. */
export function simpleDevice(lineCount: number): {
  readonly levels: number[];
  readonly directions: number[];
  answer(message: Message): number;
} {
  const levels = new Array<number>(lineCount).fill(0);
  const directions = new Array<number>(lineCount).fill(1);
  return {
    levels,
    directions,
    answer({ type, line, value }) {
      switch (type) {
        case METUX_GET_DIRECTION:
          return directions[line]!;
        case 2:
          directions[line] = 1;
          return 0;
        case 3:
          directions[line] = 0;
          levels[line] = value;
          return 0;
        case 5:
          return levels[line]!;
        case 6:
          if (directions[line] === 1) return -1;
          levels[line] = value;
          return value;
        default:
          return type === 1 ? 0 : -38;
      }
    },
  };
}
