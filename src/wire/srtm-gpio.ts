/**
 * NXP SRTM, the GPIO service of deployed i.MX firmware (rpmsg channel `rpmsg-io-channel`). Bytes only, so there is no byte order.
 * A service's messages begin alike:
 *
 * | structure    | offset | field                                                                       |
 * |--------------|--------|-----------------------------------------------------------------------------|
 * | all          | 0      | u8 category (5 GPIO)                                                        |
 * |              | 1      | u8 major version (1)                                                        |
 * |              | 2      | u8 minor version (0)                                                        |
 * |              | 3      | u8 type (0 request, 1 response, 2 notification)                             |
 * |              | 4      | u8 command                                                                  |
 * |              | 5      | u8 priority                                                                 |
 * |              | 6      | u8 reserved[4]                                                              |
 * |              | 10     | u8 pin                                                                      |
 * |              | 11     | u8 port; a notification ends here                                           |
 * | request      | 12     | u8 event (input-init) or value (output-init)                                |
 * |              | 13     | u8 wakeup, then 2 bytes of padding, as Linux sends them                     |
 * | response     | 12     | u8 return code                                                              |
 * |              | 13     | u8 value (input-get: level; get-direction: 0 out, 1 in)                     |
 *
 * Majors are not compatible with each other. A minor only adds, so any is taken.
 */
import { WireError } from './wire-error.ts';

/** Name of the channel. */
export const SRTM_CHANNEL = 'rpmsg-io-channel';

export const CATEGORY_GPIO = 5;
export const MAJOR_VERSION = 1;
export const MINOR_VERSION = 0;

export const CATEGORY_OFFSET = 0;
export const MAJOR_OFFSET = 1;
export const MINOR_OFFSET = 2;
export const TYPE_OFFSET = 3;
export const COMMAND_OFFSET = 4;
export const PIN_OFFSET = 10;
export const PORT_OFFSET = 11;
/** Of a request: the event or the value. */
export const ARGUMENT_OFFSET = 12;
export const WAKEUP_OFFSET = 13;
/** Of a response. */
export const RETURN_CODE_OFFSET = 12;
export const VALUE_OFFSET = 13;

export const REQUEST_SIZE = 16;
/** Of a request whose sender does not pad. */
export const UNPADDED_REQUEST_SIZE = 14;
export const RESPONSE_SIZE = 14;
export const NOTIFICATION_SIZE = 12;

export const TYPE_REQUEST = 0;
export const TYPE_RESPONSE = 1;
export const TYPE_NOTIFICATION = 2;

/** Makes the line an input; its event is set anew, which also unmasks it. */
export const COMMAND_INPUT_INIT = 0;
/** Makes the line an output of that value, or sets the value of one. */
export const COMMAND_OUTPUT_INIT = 1;
export const COMMAND_INPUT_GET = 2;
/** Newer firmware only; older answers {@link RETURN_UNSUPPORTED}. */
export const COMMAND_GET_DIRECTION = 3;

export const EVENT_NONE = 0;
export const EVENT_RISING = 1;
export const EVENT_FALLING = 2;
export const EVENT_BOTH = 3;
/** Unlike virtio-gpio's numbers. */
export const EVENT_LOW_LEVEL = 4;
export const EVENT_HIGH_LEVEL = 5;

export const RETURN_OK = 0;
export const RETURN_FAILED = 1;
export const RETURN_UNSUPPORTED = 2;

/** Of a get-direction's value: unlike virtio-gpio's numbers. */
export const SRTM_DIRECTION_OUT = 0;
export const SRTM_DIRECTION_IN = 1;

export const MAX_PORTS = 10;
export const MAX_PINS = 32;

interface SrtmLine {
  /** `COMMAND_…`. */
  readonly command: number;
  /** 0 to 9. */
  readonly port: number;
  /** 0 to 31. */
  readonly pin: number;
}

export interface SrtmRequest extends SrtmLine {
  readonly type: typeof TYPE_REQUEST;
  /** `EVENT_…` of input-init, 0 or 1 of output-init, else 0. */
  readonly argument: number;
  /** The line may wake the system up. */
  readonly wakeup: boolean;
}

export interface SrtmResponse extends SrtmLine {
  readonly type: typeof TYPE_RESPONSE;
  /** `RETURN_…`. */
  readonly returnCode: number;
  readonly value: number;
}

export interface SrtmNotification extends SrtmLine {
  readonly type: typeof TYPE_NOTIFICATION;
}

export type SrtmMessage = SrtmRequest | SrtmResponse | SrtmNotification;

const SIZES = [UNPADDED_REQUEST_SIZE, RESPONSE_SIZE, NOTIFICATION_SIZE] as const;

/** @throws WireError for a message that is cut short, of another service or major version, or of a line that cannot be */
export function decodeSrtmMessage(bytes: Uint8Array): SrtmMessage {
  if (bytes.length < NOTIFICATION_SIZE)
    throw new WireError('message', 0, bytes.length, `at least ${NOTIFICATION_SIZE} bytes`);
  const at = (offset: number): number => bytes[offset] as number;
  const category = at(CATEGORY_OFFSET);
  if (category !== CATEGORY_GPIO)
    throw new WireError('category', CATEGORY_OFFSET, category, String(CATEGORY_GPIO));
  const major = at(MAJOR_OFFSET);
  if (major !== MAJOR_VERSION) throw new WireError('major version', MAJOR_OFFSET, major, `${MAJOR_VERSION}`);
  const type = at(TYPE_OFFSET);
  const size = SIZES[type];
  if (size === undefined) throw new WireError('type', TYPE_OFFSET, type, '0, 1 or 2');
  if (bytes.length < size)
    throw new WireError('message', 0, bytes.length, `at least ${size} bytes for type ${type}`);
  const line = { command: at(COMMAND_OFFSET), port: at(PORT_OFFSET), pin: at(PIN_OFFSET) };
  checkLine(line);
  if (type === TYPE_NOTIFICATION) return { type, ...line };
  if (type === TYPE_RESPONSE)
    return { type, ...line, returnCode: at(RETURN_CODE_OFFSET), value: at(VALUE_OFFSET) };
  return {
    type: TYPE_REQUEST,
    ...line,
    argument: at(ARGUMENT_OFFSET),
    wakeup: at(WAKEUP_OFFSET) !== 0,
  };
}

/** @throws WireError for a line that cannot be, or a number that is no byte */
export function encodeSrtmMessage(message: SrtmMessage): Uint8Array {
  checkLine(message);
  const { type, command, port, pin } = message;
  const bytes = new Uint8Array(type === TYPE_REQUEST ? REQUEST_SIZE : SIZES[type]);
  const put = (field: string, offset: number, value: number): void => {
    if (!Number.isInteger(value) || value < 0 || value > 0xff)
      throw new WireError(field, offset, value, 'a byte');
    bytes[offset] = value;
  };
  bytes[CATEGORY_OFFSET] = CATEGORY_GPIO;
  bytes[MAJOR_OFFSET] = MAJOR_VERSION;
  bytes[MINOR_OFFSET] = MINOR_VERSION;
  bytes[TYPE_OFFSET] = type;
  put('command', COMMAND_OFFSET, command);
  bytes[PIN_OFFSET] = pin;
  bytes[PORT_OFFSET] = port;
  if (type === TYPE_REQUEST) {
    put('argument', ARGUMENT_OFFSET, message.argument);
    bytes[WAKEUP_OFFSET] = message.wakeup ? 1 : 0;
  } else if (type === TYPE_RESPONSE) {
    put('return code', RETURN_CODE_OFFSET, message.returnCode);
    put('value', VALUE_OFFSET, message.value);
  }
  return bytes;
}

function checkLine({ port, pin }: SrtmLine): void {
  if (!(Number.isInteger(port) && port >= 0 && port < MAX_PORTS))
    throw new WireError('port', PORT_OFFSET, port, `0 to ${MAX_PORTS - 1}`);
  if (!(Number.isInteger(pin) && pin >= 0 && pin < MAX_PINS))
    throw new WireError('pin', PIN_OFFSET, pin, `0 to ${MAX_PINS - 1}`);
}
