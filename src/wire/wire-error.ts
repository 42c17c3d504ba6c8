/**
 * Thrown by every codec in `wire/` when bytes are not what the specification allows.
 *
 * The message names the field, where it lies, what was found and (where it can be said) what would be right:
 * `entry[1].vdev.vring[0].num at offset 52 is 3 (0x3), expected a power of two between 1 and 32768`.
 */
export class WireError extends Error {
  /** Stable across releases; compare this instead of the message. */
  readonly code = 'ERR_WIRE';
  /** Path of the field within the decoded structure, e.g. `entry[1].vdev.vring[0].num`. */
  readonly field: string;
  /** Offset of the field in bytes, counted from the first byte that the codec was given. */
  readonly offset: number;
  /** What was found there. */
  readonly value: number | bigint | string;
  /** What would have been right, when one phrase can say it. */
  readonly expected: string | undefined;

  /**
   * @param field path of the field within the structure
   * @param offset offset in bytes from the start of the given bytes
   * @param value the value found
   * @param expected a noun phrase for what would be right, e.g. `a power of two`
   */
  constructor(field: string, offset: number, value: number | bigint | string, expected?: string) {
    const wanted = expected === undefined ? 'which is not valid' : `expected ${expected}`;
    super(`${field} at offset ${offset} is ${describeValue(value)}, ${wanted}`);
    this.name = 'WireError';
    this.field = field;
    this.offset = offset;
    this.value = value;
    this.expected = expected;
  }
}

/** Longest piece of a peer's text that is repeated in a message: messages are logged. */
const SHOWN_CHARACTERS = 40;

/** Numbers in decimal and hex, as addresses are read in hex and counts in decimal; text quoted. */
function describeValue(value: number | bigint | string): string {
  if (typeof value === 'string') {
    // Cut before it is quoted: quoting may make it six times as long.
    if (value.length <= SHOWN_CHARACTERS) return JSON.stringify(value);
    return `${JSON.stringify(value.slice(0, SHOWN_CHARACTERS)).slice(0, -1)}…"`;
  }
  const isHexUseful = typeof value === 'bigint' || Number.isInteger(value);
  if (!isHexUseful || (value >= -9 && value <= 9)) return String(value);
  return value < 0 ? String(value) : `${value} (0x${value.toString(16)})`;
}
