import {
  DIRECTION_IN,
  DIRECTION_NONE,
  DIRECTION_OUT,
  IRQ_NONE,
  LEVEL_UNKNOWN,
  RESULT_FAILED,
  RESULT_INVALID,
  RESULT_OK,
  RESULT_TIMEOUT,
} from '../../gpio/chip.ts';
import * as wire from '../../wire/srtm-gpio.ts';
import {
  MSG_GET_DIRECTION,
  MSG_GET_VALUE,
  MSG_SET_DIRECTION,
  MSG_SET_VALUE,
} from '../../wire/virtio-gpio.ts';
import type { Log } from '../log.ts';
import type { Incoming, RpmsgGpioDialect } from './rpmsg-dialect.ts';
import { type RpmsgLine, RpmsgLineMap } from './rpmsg-lines.ts';
import { ANSWERED, type Outcome } from './single-request.ts';

/** Events by virtio-gpio's interrupt types, edges only: the same numbers. */
const EVENTS = [wire.EVENT_NONE, wire.EVENT_RISING, wire.EVENT_FALLING, wire.EVENT_BOTH] as const;
/** A request for it was not answered, so the firmware may have done it or not. */
const UNSURE = -1;

export interface SrtmDialectOptions {
  readonly where: string;
  readonly lines: readonly RpmsgLine[];
  readonly onLog?: Log | undefined;
}

/**
 * NXP SRTM (wire/srtm-gpio.ts). It has three requests, of which two set several things at once, so a line's direction, event and
 * level are kept here:
 *
 * - An input with another event, and an output with another level, are set up anew, which is how SRTM does it.
 * - The level of a line that is no output yet is kept until it becomes one.
 * - Direction none is an input without an event.
 * - GET_DIRECTION, where the firmware cannot tell, is what was set last; none where nothing was.
 * - GET_VALUE of an output, where the firmware refuses it, is what was set last.
 */
export class SrtmDialect implements RpmsgGpioDialect {
  readonly name = 'srtm';
  readonly lines: RpmsgLineMap;
  readonly isKeyed = true;
  readonly message = new Uint8Array(wire.REQUEST_SIZE);
  readonly questionCount: number;
  readonly #where: string;
  readonly #onLog: Log | undefined;
  /** As set through us, or read; UNSURE. */
  readonly #directions: Int8Array;
  /** Set to none through us: an input to the firmware. */
  readonly #isNone: Uint8Array;
  readonly #events: Int8Array;
  /** For when the line is an output, or as it is one; -1 = never set. */
  readonly #levels: Int8Array;
  /** Until the firmware has said otherwise. */
  #hasGetDirection = true;
  #emulatedDirections = 0;
  #emulatedLevels = 0;
  #badValues = 0;

  /** @throws CoprocessorError ERR_RPMSG for lines that cannot be */
  constructor({ where, lines, onLog }: SrtmDialectOptions) {
    const space = { ports: wire.MAX_PORTS, pins: wire.MAX_PINS };
    this.lines = new RpmsgLineMap(where, this.name, space, lines);
    this.questionCount = 2 * lines.length;
    this.#where = where;
    this.#onLog = onLog;
    this.#directions = new Int8Array(lines.length).fill(DIRECTION_NONE);
    this.#isNone = new Uint8Array(lines.length);
    this.#events = new Int8Array(lines.length).fill(wire.EVENT_NONE);
    this.#levels = new Int8Array(lines.length).fill(LEVEL_UNKNOWN);
    this.message[wire.CATEGORY_OFFSET] = wire.CATEGORY_GPIO;
    this.message[wire.MAJOR_OFFSET] = wire.MAJOR_VERSION;
    this.message[wire.MINOR_OFFSET] = wire.MINOR_VERSION;
    this.message[wire.TYPE_OFFSET] = wire.TYPE_REQUEST;
  }

  /** Answers given from what was set, as the firmware could not, and values that were neither 0 nor 1. */
  get counters(): Readonly<Record<string, number>> {
    return {
      emulatedDirections: this.#emulatedDirections,
      emulatedLevels: this.#emulatedLevels,
      badValues: this.#badValues,
    };
  }

  #write(command: number, line: number, argument: number): number {
    const { message, lines } = this;
    const pin = lines.pin(line);
    const port = lines.port(line);
    message[wire.COMMAND_OFFSET] = command;
    message[wire.PIN_OFFSET] = pin;
    message[wire.PORT_OFFSET] = port;
    message[wire.ARGUMENT_OFFSET] = argument;
    return keyOf(command, port, pin);
  }

  begin(operation: number, line: number, value: number, outcome: Outcome): number {
    switch (operation) {
      case MSG_GET_DIRECTION:
        if (this.#hasGetDirection) return this.#write(wire.COMMAND_GET_DIRECTION, line, 0);
        this.#emulateDirection(line, outcome);
        return ANSWERED;
      case MSG_SET_DIRECTION:
        return this.#beginDirection(line, value, outcome);
      case MSG_GET_VALUE:
        return this.#write(wire.COMMAND_INPUT_GET, line, 0);
      case MSG_SET_VALUE:
        if (this.#directions[line] === DIRECTION_OUT)
          return this.#write(wire.COMMAND_OUTPUT_INIT, line, value);
        this.#levels[line] = value;
        return answer(outcome, RESULT_OK);
      default:
        return this.#beginEvent(line, value, outcome);
    }
  }

  #beginDirection(line: number, direction: number, outcome: Outcome): number {
    const event = this.#events[line] as number;
    if (direction !== DIRECTION_OUT) {
      const isKept = direction === DIRECTION_IN && event !== UNSURE;
      return this.#write(wire.COMMAND_INPUT_INIT, line, isKept ? event : wire.EVENT_NONE);
    }
    // virtio 1.2, section 5.18.6: not while it has an interrupt.
    if (event !== wire.EVENT_NONE && event !== UNSURE) return answer(outcome, RESULT_INVALID);
    const level = this.#levels[line] as number;
    // It is one, of a level that the firmware knows and we do not: setting it up again would change that.
    if (this.#directions[line] === DIRECTION_OUT && level === LEVEL_UNKNOWN)
      return answer(outcome, RESULT_OK);
    return this.#write(wire.COMMAND_OUTPUT_INIT, line, Math.max(level, 0));
  }

  #beginEvent(line: number, type: number, outcome: Outcome): number {
    const event = EVENTS[type];
    if (event === undefined) return answer(outcome, RESULT_INVALID);
    // Setting it up would make the line an input.
    const isOutput = this.#directions[line] === DIRECTION_OUT;
    if (type === IRQ_NONE && (isOutput || this.#events[line] === wire.EVENT_NONE))
      return answer(outcome, RESULT_OK);
    if (isOutput) return answer(outcome, RESULT_INVALID);
    return this.#write(wire.COMMAND_INPUT_INIT, line, event);
  }

  finish(operation: number, line: number, value: number, outcome: Outcome): void {
    switch (operation) {
      case MSG_GET_DIRECTION:
        return this.#finishGetDirection(line, outcome);
      case MSG_SET_DIRECTION:
        return this.#finishDirection(line, value, outcome);
      case MSG_GET_VALUE:
        return this.#finishLevel(line, outcome);
      case MSG_SET_VALUE:
        if (outcome.result === RESULT_OK) this.#levels[line] = value;
        break;
      default:
        if (outcome.result === RESULT_OK) {
          this.#events[line] = EVENTS[value] as number;
          this.#directions[line] = DIRECTION_IN;
          this.#isNone[line] = 0;
        } else if (outcome.result === RESULT_TIMEOUT) {
          this.#events[line] = UNSURE;
        }
    }
    outcome.value = 0;
  }

  #finishDirection(line: number, direction: number, outcome: Outcome): void {
    outcome.value = 0;
    if (outcome.result === RESULT_TIMEOUT) {
      this.#directions[line] = UNSURE;
      this.#events[line] = UNSURE;
    }
    if (outcome.result !== RESULT_OK) return;
    this.#directions[line] = direction;
    this.#isNone[line] = direction === DIRECTION_NONE ? 1 : 0;
    if (direction === DIRECTION_OUT) {
      this.#levels[line] = Math.max(this.#levels[line] as number, 0);
      this.#events[line] = wire.EVENT_NONE;
    } else if (direction === DIRECTION_NONE) {
      this.#levels[line] = LEVEL_UNKNOWN;
      this.#events[line] = wire.EVENT_NONE;
    } else if (this.#events[line] === UNSURE) {
      this.#events[line] = wire.EVENT_NONE;
    }
  }

  #finishGetDirection(line: number, outcome: Outcome): void {
    const { value } = outcome;
    outcome.value = 0;
    if (outcome.result === RESULT_INVALID) {
      this.#hasGetDirection = false;
      this.#onLog?.(
        'info',
        `${this.#where}: its firmware cannot tell directions (SRTM command ${wire.COMMAND_GET_DIRECTION} is unsupported): they are told as they were set through this service`,
      );
      return this.#emulateDirection(line, outcome);
    }
    if (outcome.result !== RESULT_OK) return;
    if (value === wire.SRTM_DIRECTION_OUT) {
      this.#directions[line] = DIRECTION_OUT;
    } else if (value !== wire.SRTM_DIRECTION_IN) {
      this.#badValues++;
      outcome.result = RESULT_FAILED;
      return;
    } else {
      this.#directions[line] = this.#isNone[line] === 1 ? DIRECTION_NONE : DIRECTION_IN;
    }
    outcome.value = this.#directions[line] as number;
  }

  #emulateDirection(line: number, outcome: Outcome): void {
    this.#emulatedDirections++;
    const direction = this.#directions[line] as number;
    outcome.result = direction === UNSURE ? RESULT_FAILED : RESULT_OK;
    outcome.value = Math.max(direction, 0);
  }

  #finishLevel(line: number, outcome: Outcome): void {
    const { result, value } = outcome;
    const isAnswered = result !== RESULT_TIMEOUT;
    const level = this.#levels[line] as number;
    const isOutput = this.#directions[line] === DIRECTION_OUT && level !== LEVEL_UNKNOWN;
    if (result === RESULT_OK && value <= 1) return;
    if (result === RESULT_OK) this.#badValues++;
    outcome.value = 0;
    if (result === RESULT_OK) outcome.result = RESULT_FAILED;
    if (!isAnswered || !isOutput) return;
    this.#emulatedLevels++;
    outcome.result = RESULT_OK;
    outcome.value = level;
  }

  /** Reads: a level or a direction of each line. */
  question(index: number): number {
    const command = index % 2 === 0 ? wire.COMMAND_INPUT_GET : wire.COMMAND_GET_DIRECTION;
    return this.#write(command, index >>> 1, 0);
  }

  /** Never asked: replies have keys. */
  refusedQuestion(): void {
    this.question(0);
  }

  decode(payload: Uint8Array, incoming: Incoming): void {
    const { length } = payload;
    if (length < wire.NOTIFICATION_SIZE) return incoming.dropped('shortMessages');
    if (payload[wire.CATEGORY_OFFSET] !== wire.CATEGORY_GPIO) return incoming.dropped('otherServices');
    if (payload[wire.MAJOR_OFFSET] !== wire.MAJOR_VERSION) return incoming.dropped('otherVersions');
    const type = payload[wire.TYPE_OFFSET];
    const port = payload[wire.PORT_OFFSET] as number;
    const pin = payload[wire.PIN_OFFSET] as number;
    if (type === wire.TYPE_NOTIFICATION) return incoming.notification(this.lines.offsetOf(port, pin));
    if (type !== wire.TYPE_RESPONSE) return incoming.dropped('unknownTypes');
    if (length < wire.RESPONSE_SIZE) return incoming.dropped('shortMessages');
    const key = keyOf(payload[wire.COMMAND_OFFSET] as number, port, pin);
    const returnCode = payload[wire.RETURN_CODE_OFFSET] as number;
    incoming.reply(key, resultOf(returnCode), payload[wire.VALUE_OFFSET] as number);
  }
}

function keyOf(command: number, port: number, pin: number): number {
  return (command << 16) | (port << 8) | pin;
}

function resultOf(returnCode: number): number {
  if (returnCode === wire.RETURN_OK) return RESULT_OK;
  return returnCode === wire.RETURN_UNSUPPORTED ? RESULT_INVALID : RESULT_FAILED;
}

function answer(outcome: Outcome, result: number): number {
  outcome.result = result;
  outcome.value = 0;
  return ANSWERED;
}
