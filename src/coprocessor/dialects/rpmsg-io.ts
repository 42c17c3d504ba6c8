import {
  DIRECTION_IN,
  DIRECTION_OUT,
  RESULT_BUSY,
  RESULT_FAILED,
  RESULT_INVALID,
  RESULT_OK,
} from '../../gpio/chip.ts';
import * as wire from '../../wire/rpmsg-gpio.ts';
import { MSG_GET_DIRECTION, MSG_GET_VALUE } from '../../wire/virtio-gpio.ts';
import type { Incoming, RpmsgGpioDialect } from './rpmsg-dialect.ts';
import { type RpmsgLine, RpmsgLineMap } from './rpmsg-lines.ts';
import type { Outcome } from './single-request.ts';

/** How GET_DIRECTION's reply is numbered: as the proposal's documentation says (0 out, 1 in), or as its driver reads it (1 out, 2 in). */
export type RpmsgIoDirections = 'doc' | 'v12';

export interface RpmsgIoDialectOptions {
  readonly where: string;
  readonly lines: readonly RpmsgLine[];
  readonly directions?: RpmsgIoDirections | undefined;
}

/** Bytes address ports and lines. */
const SPACE = { ports: 256, pins: 256 } as const;

/** The upstream proposal's packets of 6 bytes (wire/rpmsg-gpio.ts): all of virtio-gpio's messages but the names, as they are. */
export class RpmsgIoDialect implements RpmsgGpioDialect {
  readonly name = 'rpmsg-io';
  readonly lines: RpmsgLineMap;
  readonly isKeyed = true;
  readonly message = new Uint8Array(wire.PACKET_SIZE);
  readonly questionCount: number;
  readonly #directions: RpmsgIoDirections;
  #badValues = 0;

  /** @throws CoprocessorError ERR_RPMSG for lines that cannot be */
  constructor({ where, lines, directions = 'doc' }: RpmsgIoDialectOptions) {
    this.lines = new RpmsgLineMap(where, this.name, SPACE, lines);
    this.questionCount = 2 * lines.length;
    this.#directions = directions;
  }

  /** Values that are no level, or no direction. */
  get counters(): Readonly<Record<string, number>> {
    return { badValues: this.#badValues };
  }

  begin(operation: number, line: number, value: number): number {
    const { message, lines } = this;
    const port = lines.port(line);
    const pin = lines.pin(line);
    message[wire.PACKET_TYPE_OFFSET] = wire.PACKET_SEND;
    message[wire.PACKET_COMMAND_OFFSET] = operation;
    message[wire.PACKET_PORT_OFFSET] = port;
    message[wire.PACKET_LINE_OFFSET] = pin;
    message[wire.PACKET_ARGUMENT_OFFSET] = value;
    return keyOf(operation, port, pin);
  }

  finish(operation: number, _line: number, _value: number, outcome: Outcome): void {
    const { value } = outcome;
    outcome.value = 0;
    if (outcome.result !== RESULT_OK) return;
    if (operation === MSG_GET_DIRECTION) outcome.value = this.#direction(value);
    else if (operation === MSG_GET_VALUE) outcome.value = value <= 1 ? value : -1;
    if (outcome.value >= 0) return;
    this.#badValues++;
    outcome.result = RESULT_FAILED;
    outcome.value = 0;
  }

  #direction(value: number): number {
    if (this.#directions === 'v12') return value <= DIRECTION_IN ? value : -1;
    if (value === wire.DOC_DIRECTION_OUT) return DIRECTION_OUT;
    return value === wire.DOC_DIRECTION_IN ? DIRECTION_IN : -1;
  }

  /** Reads: a level or a direction of each line. */
  question(index: number): number {
    return this.begin(index % 2 === 0 ? MSG_GET_VALUE : MSG_GET_DIRECTION, index >>> 1, 0);
  }

  /** Never asked: replies have keys. */
  refusedQuestion(): void {
    this.question(0);
  }

  decode(payload: Uint8Array, incoming: Incoming): void {
    if (payload.length < wire.PACKET_SIZE) return incoming.dropped('shortMessages');
    const type = payload[wire.PACKET_TYPE_OFFSET];
    const port = payload[wire.PACKET_PORT_OFFSET] as number;
    const pin = payload[wire.PACKET_LINE_OFFSET] as number;
    if (type === wire.PACKET_NOTIFICATION) return incoming.notification(this.lines.offsetOf(port, pin));
    if (type !== wire.PACKET_REPLY) return incoming.dropped('unknownTypes');
    const key = keyOf(payload[wire.PACKET_COMMAND_OFFSET] as number, port, pin);
    const error = payload[wire.PACKET_ERROR_OFFSET] as number;
    incoming.reply(key, resultOf(error), payload[wire.PACKET_VALUE_OFFSET] as number);
  }
}

function keyOf(command: number, port: number, pin: number): number {
  return (command << 16) | (port << 8) | pin;
}

function resultOf(error: number): number {
  switch (error) {
    case wire.ERROR_NONE:
      return RESULT_OK;
    case wire.ERROR_UNSUPPORTED:
    case wire.ERROR_PARAMETER:
      return RESULT_INVALID;
    case wire.ERROR_BUSY:
      return RESULT_BUSY;
    default:
      return RESULT_FAILED;
  }
}
