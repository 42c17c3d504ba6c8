import type { GpioKernel } from '../../src/gpiochip/gpio-kernel.ts';
import * as uapi from '../../src/wire/gpio-uapi.ts';

const EAGAIN = 11;

/** An error as libc.ts throws it. */
export class KernelError extends Error {
  readonly code: string;

  constructor(code: string, tried: string) {
    super(`${tried}: (${code})`);
    this.code = code;
  }
}

/** A line as the kernel has it. `levels` is what it drove or was read as, for glitches to show. */
export class FakeLine {
  readonly name: string;
  /** Who uses it; null for nobody. */
  user: string | null = null;
  isOutput = false;
  /** The level on the wire. */
  level = 0;
  /** Every level that the line drove, in order. */
  readonly driven: number[] = [];

  constructor(name: string) {
    this.name = name;
  }

  drive(level: number): void {
    this.isOutput = true;
    this.level = level;
    this.driven.push(level);
  }
}

interface Request {
  readonly offset: number;
  /** Edge flags of the configuration. */
  edges: bigint;
  readonly fifo: Uint8Array[];
  readonly capacity: number;
  seqno: number;
}

const CHIP_FD = 3;
const EDGES = uapi.LINE_FLAG_EDGE_RISING | uapi.LINE_FLAG_EDGE_FALLING;

/** Linux' GPIO character device as far as a chip can tell: lines, requests, edges, removal. */
export class FakeKernel implements GpioKernel {
  readonly lines: FakeLine[];
  readonly requests = new Map<number, Request>();
  readonly polls = new Map<number, (status: number) => void>();
  readonly watches = new Set<() => void>();
  isOpen = false;
  isRemoved = false;
  /** Requests in order, by name, for tests that count them. */
  readonly calls: string[] = [];
  /** Errno's name by the request's number: what the kernel refuses. */
  readonly refusals = new Map<number, string>();
  info: { name: string; label: string } = { name: 'gpiochip7', label: 'fake-soc' };
  #nextFd = 10;
  #nowNs = 1_000n;

  constructor(...names: string[]) {
    this.lines = names.map((name) => new FakeLine(name));
  }

  /** Descriptors that nobody has closed. */
  get openDescriptors(): number {
    return this.requests.size + (this.isOpen ? 1 : 0);
  }

  open(): number {
    this.isOpen = true;
    return CHIP_FD;
  }

  close(fd: number): void {
    if (this.polls.has(fd)) throw new Error(`descriptor ${fd} is closed before its poll`);
    if (fd === CHIP_FD) {
      if (!this.isOpen) throw new Error('the chip is closed twice');
      this.isOpen = false;
      return;
    }
    const request = this.requests.get(fd);
    if (request === undefined) throw new Error(`descriptor ${fd} is not open`);
    this.requests.delete(fd);
    this.#line(request.offset).user = null;
  }

  poll(fd: number, callback: (status: number) => void): { close(): void } {
    if (this.polls.has(fd)) throw new KernelError('EEXIST', `watch descriptor ${fd}`);
    this.polls.set(fd, callback);
    return { close: () => this.polls.delete(fd) };
  }

  watch(_path: string, callback: () => void): { close(): void } {
    this.watches.add(callback);
    return { close: () => this.watches.delete(callback) };
  }

  read(fd: number, into: Uint8Array): number {
    if (this.isRemoved) return -19;
    const fifo = this.requests.get(fd)?.fifo;
    if (fifo === undefined) return -9;
    let sizeBytes = 0;
    while (fifo.length > 0 && sizeBytes + uapi.LINE_EVENT_SIZE <= into.length) {
      into.set(fifo.shift()!, sizeBytes);
      sizeBytes += uapi.LINE_EVENT_SIZE;
    }
    return sizeBytes === 0 ? -EAGAIN : sizeBytes;
  }

  ioctl(fd: number, request: number, argument: Uint8Array, tried: string): void {
    if (this.isRemoved) throw new KernelError('ENODEV', tried);
    const refusal = this.refusals.get(request);
    if (refusal !== undefined) throw new KernelError(refusal, tried);
    switch (request) {
      case uapi.GPIO_GET_CHIPINFO_IOCTL:
        argument.set(uapi.encodeChipInfo({ ...this.info, lines: this.lines.length }));
        return;
      case uapi.GPIO_V2_GET_LINEINFO_IOCTL:
        return this.#lineInfo(argument);
      case uapi.GPIO_V2_GET_LINE_IOCTL:
        return this.#request(argument, tried);
      case uapi.GPIO_V2_LINE_SET_CONFIG_IOCTL:
        this.calls.push('config');
        return this.#configure(this.requests.get(fd)!, uapi.decodeLineConfig(argument));
      case uapi.GPIO_V2_LINE_GET_VALUES_IOCTL: {
        this.calls.push('get');
        const { level } = this.#line(this.requests.get(fd)!.offset);
        argument.set(uapi.encodeLineValues({ bits: BigInt(level), mask: 1n }));
        return;
      }
      case uapi.GPIO_V2_LINE_SET_VALUES_IOCTL: {
        this.calls.push('set');
        const line = this.#line(this.requests.get(fd)!.offset);
        if (!line.isOutput) throw new KernelError('EPERM', tried);
        line.drive(Number(uapi.decodeLineValues(argument).bits));
        return;
      }
      default:
        throw new KernelError('EINVAL', tried);
    }
  }

  #line(offset: number): FakeLine {
    const line = this.lines[offset];
    if (line === undefined) throw new KernelError('EINVAL', `line ${offset}`);
    return line;
  }

  #lineInfo(argument: Uint8Array): void {
    const offset = new DataView(argument.buffer).getUint32(uapi.LINE_INFO_OFFSET_OFFSET, true);
    const { name, user, isOutput } = this.#line(offset);
    const direction = isOutput ? uapi.LINE_FLAG_OUTPUT : uapi.LINE_FLAG_INPUT;
    const flags = direction | (user === null ? 0n : uapi.LINE_FLAG_USED);
    argument.set(uapi.encodeLineInfo({ name, consumer: user ?? '', offset, flags, attributes: [] }));
  }

  #request(argument: Uint8Array, tried: string): void {
    const { offsets, consumer, config, eventBufferSize } = uapi.decodeLineRequest(argument);
    const [offset] = offsets;
    if (offset === undefined || offsets.length > 1) throw new Error(`${offsets.length} lines in one request`);
    this.calls.push('request');
    const line = this.#line(offset);
    if (line.user !== null) throw new KernelError('EBUSY', tried);
    const request = { offset, edges: 0n, fifo: [], capacity: eventBufferSize, seqno: 0 };
    this.#configure(request, config);
    line.user = consumer;
    const fd = this.#nextFd++;
    this.requests.set(fd, request);
    new DataView(argument.buffer).setInt32(uapi.LINE_REQUEST_FD_OFFSET, fd, true);
  }

  /** gpiolib-cdev.c: no direction leaves the line as it is; edges need an input. */
  #configure(request: Request, { flags, attributes }: uapi.LineConfig): void {
    const line = this.#line(request.offset);
    const isInput = (flags & uapi.LINE_FLAG_INPUT) !== 0n;
    const isOutput = (flags & uapi.LINE_FLAG_OUTPUT) !== 0n;
    if ((isInput && isOutput) || (!isInput && (flags & EDGES) !== 0n))
      throw new KernelError('EINVAL', `flags ${flags}`);
    if (isInput) line.isOutput = false;
    if (isOutput) {
      const values = attributes.find(({ id }) => id === uapi.LINE_ATTR_ID_OUTPUT_VALUES);
      line.drive(Number((values?.value ?? 0n) & (values?.mask ?? 0n)));
    }
    if (isInput || isOutput) request.edges = flags & EDGES;
  }

  /** Changes the level of an input from outside; who asked for that edge has it in the queue, nobody is woken. */
  change(offset: number, level: 0 | 1): void {
    const line = this.#line(offset);
    if (line.isOutput || line.level === level) return;
    line.level = level;
    this.event(offset, level);
  }

  /** The kernel's interrupt thread finds the line at `level`. */
  event(offset: number, level: 0 | 1): void {
    for (const request of this.requests.values()) {
      const wanted = level === 1 ? uapi.LINE_FLAG_EDGE_RISING : uapi.LINE_FLAG_EDGE_FALLING;
      if (request.offset !== offset || (request.edges & wanted) === 0n) continue;
      request.seqno++;
      // The oldest one goes.
      if (request.fifo.length === request.capacity) request.fifo.shift();
      const id = level === 1 ? uapi.LINE_EVENT_RISING_EDGE : uapi.LINE_EVENT_FALLING_EDGE;
      const { seqno } = request;
      this.#nowNs += 1_000n;
      request.fifo.push(
        uapi.encodeLineEvent({ timestampNs: this.#nowNs, id, offset, seqno, lineSeqno: seqno }),
      );
    }
  }

  /** One turn of the event loop: every descriptor that can be read is told of. @returns how many */
  turn(): number {
    let count = 0;
    for (const [fd, callback] of [...this.polls]) {
      if (!this.isRemoved && (this.requests.get(fd)?.fifo.length ?? 0) === 0) continue;
      // One that another callback has just closed is not told any more.
      if (this.polls.get(fd) !== callback) continue;
      count++;
      callback(this.isRemoved ? -9 : 0);
    }
    return count;
  }

  /** The chip goes: `wakes` is what kernels since 6.6 do with those who poll. */
  remove(wakes: boolean): void {
    this.isRemoved = true;
    if (wakes) this.turn();
    else for (const callback of [...this.watches]) callback();
  }
}
