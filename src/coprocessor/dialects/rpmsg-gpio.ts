import { DIRECTION_IN, RESULT_FAILED, RESULT_OK } from '../../gpio/chip.ts';
import * as wire from '../../wire/rpmsg-gpio.ts';
import {
  MSG_GET_DIRECTION,
  MSG_GET_LINE_NAMES,
  MSG_GET_VALUE,
  REQUEST_GPIO_OFFSET,
  REQUEST_SIZE,
  REQUEST_TYPE_OFFSET,
  REQUEST_VALUE_OFFSET,
  STATUS_OK,
} from '../../wire/virtio-gpio.ts';
import type { Incoming, RpmsgGpioDialect } from './rpmsg-dialect.ts';
import { type RpmsgLine, RpmsgLineMap } from './rpmsg-lines.ts';
import type { Outcome } from './single-request.ts';

export interface RpmsgGpioDialectOptions {
  readonly where: string;
  readonly layout: wire.ReportLayout;
  readonly lines: readonly RpmsgLine[];
}

const SPACE = { ports: 1, pins: wire.MAX_REPORT_LINES } as const;
/** Replies do not say what they answer. */
const ANY_KEY = 0;

/** The upstream proposal's virtio-gpio requests with reports of 3 bytes, in either layout (wire/rpmsg-gpio.ts). */
export class RpmsgGpioReports implements RpmsgGpioDialect {
  readonly name: string;
  readonly lines: RpmsgLineMap;
  readonly isKeyed = false;
  readonly message = new Uint8Array(REQUEST_SIZE);
  readonly questionCount = 1;
  readonly #layout: wire.ReportLayout;
  #badValues = 0;

  /** @throws CoprocessorError ERR_RPMSG for lines that cannot be */
  constructor({ where, layout, lines }: RpmsgGpioDialectOptions) {
    this.name = layout === 'v14' ? 'rpmsg-gpio' : 'rpmsg-gpio-kind0';
    this.lines = new RpmsgLineMap(where, this.name, SPACE, lines);
    this.#layout = layout;
  }

  /** Values that are no level, or no direction. */
  get counters(): Readonly<Record<string, number>> {
    return { badValues: this.#badValues };
  }

  begin(operation: number, line: number, value: number): number {
    const { message } = this;
    // All numbers are below 256.
    message[REQUEST_TYPE_OFFSET] = operation;
    message[REQUEST_GPIO_OFFSET] = this.lines.pin(line);
    message[REQUEST_VALUE_OFFSET] = value;
    return ANY_KEY;
  }

  finish(operation: number, _line: number, _value: number, outcome: Outcome): void {
    const { value } = outcome;
    outcome.value = 0;
    if (outcome.result !== RESULT_OK) return;
    const isRead = operation === MSG_GET_DIRECTION || operation === MSG_GET_VALUE;
    if (isRead && value > (operation === MSG_GET_VALUE ? 1 : DIRECTION_IN)) {
      this.#badValues++;
      outcome.result = RESULT_FAILED;
    } else if (isRead) {
      outcome.value = value;
    }
  }

  question(): number {
    return this.begin(MSG_GET_DIRECTION, 0, 0);
  }

  /** There are no names. */
  refusedQuestion(): void {
    this.begin(MSG_GET_LINE_NAMES, 0, 0);
  }

  decode(payload: Uint8Array, incoming: Incoming): void {
    if (payload.length < wire.REPORT_SIZE) return incoming.dropped('shortMessages');
    const kinds = wire.REPORT_KINDS[this.#layout];
    const kind = payload[wire.REPORT_KIND_OFFSET];
    if (kind === kinds.reply) {
      const result = payload[wire.REPORT_STATUS_OFFSET] === STATUS_OK ? RESULT_OK : RESULT_FAILED;
      return incoming.reply(ANY_KEY, result, payload[wire.REPORT_VALUE_OFFSET] as number);
    }
    if (kind !== kinds.notification) return incoming.dropped('unknownTypes');
    const low = payload[wire.REPORT_LINE_OFFSET] as number;
    const high = this.#layout === 'v14' ? 0 : (payload[wire.REPORT_LINE_OFFSET + 1] as number);
    incoming.notification(this.lines.offsetOf(0, low | (high << 8)));
  }
}
