import {
  DIRECTION_IN,
  DIRECTION_NONE,
  DIRECTION_OUT,
  IRQ_BOTH,
  IRQ_FALLING,
  IRQ_NONE,
  IRQ_RISING,
  LEVEL_UNKNOWN,
} from '../gpio/chip.ts';
import {
  encodeLineConfig,
  encodeLineRequest,
  encodeLineValues,
  GPIO_V2_GET_LINE_IOCTL,
  GPIO_V2_LINE_GET_VALUES_IOCTL,
  GPIO_V2_LINE_SET_CONFIG_IOCTL,
  GPIO_V2_LINE_SET_VALUES_IOCTL,
  LINE_ATTR_ID_OUTPUT_VALUES,
  LINE_EVENT_LINE_SEQNO_OFFSET,
  LINE_EVENT_SIZE,
  LINE_FLAG_EDGE_FALLING,
  LINE_FLAG_EDGE_RISING,
  LINE_FLAG_INPUT,
  LINE_FLAG_OUTPUT,
  LINE_REQUEST_FD_OFFSET,
  type LineConfig,
} from '../wire/gpio-uapi.ts';
import type { GpioKernel } from './gpio-kernel.ts';

/** Who uses the line, as `gpioinfo` shows it. */
export const CONSUMER = 'rproc-gpio';

/**
 * Edges that the kernel keeps for us on a line; when there are more, the oldest go. 256 edges are 12 KiB of the kernel's memory,
 * taken for watched lines only, and 10 ms at 25 kHz: longer than a turn of the event loop takes.
 */
const EVENT_BUFFER_SIZE = 256;

const EVENT_WORDS = LINE_EVENT_SIZE / 4;
const LINE_SEQNO_WORD = LINE_EVENT_LINE_SEQNO_OFFSET / 4;

/** A request has one line: bit 0 of every mask. */
const THE_LINE = 1n;

/** The line stays as it is: neither direction is asked for. */
const AS_IS: LineConfig = { flags: 0n, attributes: [] };

function outputConfig(level: number): LineConfig {
  const value = level === 0 ? 0n : THE_LINE;
  return {
    flags: LINE_FLAG_OUTPUT,
    attributes: [{ id: LINE_ATTR_ID_OUTPUT_VALUES, value, mask: THE_LINE }],
  };
}

function inputConfig(irqType: number): LineConfig {
  let flags = LINE_FLAG_INPUT;
  if (irqType === IRQ_RISING || irqType === IRQ_BOTH) flags |= LINE_FLAG_EDGE_RISING;
  if (irqType === IRQ_FALLING || irqType === IRQ_BOTH) flags |= LINE_FLAG_EDGE_FALLING;
  return { flags, attributes: [] };
}

/**
 * A line that the kernel has given to us, with the descriptor that stands for it. One line a request: a request's set of
 * lines can never change, and lines come and go one by one. Every method that asks the kernel throws its Error.
 */
export class HeldLine {
  readonly offset: number;
  readonly fd: number;
  /** As the kernel was asked for; DIRECTION_NONE while the line is as it was found. */
  direction = DIRECTION_NONE;
  /** A consumer has set the direction; otherwise the line is held for its edges alone. */
  claimed = false;
  irqType = IRQ_NONE;
  /** Counts subscriptions and their ends, so that whoever is in the middle of a batch of edges sees that it is over. */
  subscription = 0;
  /** The kernel's count of the line's edges, as last heard. */
  lineSeqno = 0;
  /** Level of the last edge of this subscription. */
  toldLevel = LEVEL_UNKNOWN;
  readonly #kernel: GpioKernel;
  #poll: { close(): void } | null = null;
  #closed = false;

  private constructor(kernel: GpioKernel, offset: number, fd: number) {
    this.#kernel = kernel;
    this.offset = offset;
    this.fd = fd;
  }

  static #request(kernel: GpioKernel, chipFd: number, offset: number, config: LineConfig): HeldLine {
    const request = encodeLineRequest({
      offsets: [offset],
      consumer: CONSUMER,
      config,
      eventBufferSize: EVENT_BUFFER_SIZE,
      fd: -1,
    });
    kernel.ioctl(chipFd, GPIO_V2_GET_LINE_IOCTL, request, 'take the line');
    return new HeldLine(kernel, offset, new DataView(request.buffer).getInt32(LINE_REQUEST_FD_OFFSET, true));
  }

  /** Takes a line as it is: it can be read. */
  static asIs(kernel: GpioKernel, chipFd: number, offset: number): HeldLine {
    return HeldLine.#request(kernel, chipFd, offset, AS_IS);
  }

  /** Takes a line as an input. */
  static input(kernel: GpioKernel, chipFd: number, offset: number): HeldLine {
    const line = HeldLine.#request(kernel, chipFd, offset, inputConfig(IRQ_NONE));
    line.direction = DIRECTION_IN;
    return line;
  }

  /** Takes a line as an output with its level: at no time it drives another one. */
  static output(kernel: GpioKernel, chipFd: number, offset: number, level: number): HeldLine {
    const line = HeldLine.#request(kernel, chipFd, offset, outputConfig(level));
    line.direction = DIRECTION_OUT;
    return line;
  }

  getLevel(): number {
    const values = encodeLineValues({ bits: 0n, mask: THE_LINE });
    this.#kernel.ioctl(this.fd, GPIO_V2_LINE_GET_VALUES_IOCTL, values, 'read the level');
    return (values[0] as number) & 1;
  }

  /** Outputs only. */
  setLevel(level: number): void {
    const values = encodeLineValues({ bits: level === 0 ? 0n : THE_LINE, mask: THE_LINE });
    this.#kernel.ioctl(this.fd, GPIO_V2_LINE_SET_VALUES_IOCTL, values, 'set the level');
  }

  /** Makes it an output with its level, in one step; edges end with it. */
  makeOutput(level: number): void {
    this.unsubscribe();
    this.#configure(outputConfig(level), 'make it an output');
    this.direction = DIRECTION_OUT;
  }

  makeInput(): void {
    this.#configure(inputConfig(IRQ_NONE), 'make it an input');
    this.direction = DIRECTION_IN;
  }

  #configure(config: LineConfig, tried: string): void {
    this.#kernel.ioctl(this.fd, GPIO_V2_LINE_SET_CONFIG_IOCTL, encodeLineConfig(config), tried);
  }

  /** From now on `readable` tells when there are edges, of an input; `status` is a negative errno when that has ended. */
  subscribe(irqType: number, readable: (line: HeldLine, status: number) => void): void {
    this.unsubscribe();
    const poll = this.#kernel.poll(this.fd, (status) => readable(this, status));
    try {
      this.#forgetEdges();
      this.#configure(inputConfig(irqType), 'ask for its edges');
    } catch (error) {
      poll.close();
      throw error;
    }
    this.#poll = poll;
    this.irqType = irqType;
    this.toldLevel = LEVEL_UNKNOWN;
    this.subscription++;
  }

  /** The kernel keeps what nobody has read, also past the end of a subscription. Not more than that: a line that rattles has no end. */
  #forgetEdges(): void {
    const words = new Uint32Array(EVENT_WORDS);
    const bytes = new Uint8Array(words.buffer);
    for (let kept = 0; kept < EVENT_BUFFER_SIZE && this.#kernel.read(this.fd, bytes) > 0; kept++)
      this.lineSeqno = words[LINE_SEQNO_WORD] as number;
  }

  /** The kernel tells no edges any more. */
  endSubscription(): void {
    if (this.irqType === IRQ_NONE) return;
    this.unsubscribe();
    this.#configure(inputConfig(IRQ_NONE), 'end its edges');
  }

  /** Nobody listens any more, whatever the kernel still tells. */
  unsubscribe(): void {
    this.subscription++;
    this.irqType = IRQ_NONE;
    this.#poll?.close();
    this.#poll = null;
  }

  /** Gives the line back to the kernel. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.unsubscribe();
    this.#kernel.close(this.fd);
  }
}
