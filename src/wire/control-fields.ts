/** Checks of decoded JSON, field by field: each says what is wrong, where, and what would be right. Part of the control protocol. */

/** What is wrong with a value, and where in it. */
export interface FieldFault {
  /** From the checked value on: `.lines[3]`, '' for itself. */
  readonly path: string;
  /** What follows the place in a sentence: `is 7, should be 0 or 1`. */
  readonly text: string;
}

/** @returns what is wrong with the value; null when nothing is. Builds nothing then: edges are checked by the hundred thousand. */
export type Check = (value: unknown) => FieldFault | null;

/** Longest piece of a peer's text that is repeated in a message. */
const SHOWN_CHARACTERS = 40;

/** A value for a message: as JSON, short. */
export function shown(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  if (typeof value !== 'string') return JSON.stringify(value) ?? 'missing';
  // A long text is cut before it is quoted: quoting it may make it six times as long.
  if (value.length <= SHOWN_CHARACTERS) return JSON.stringify(value);
  return `${JSON.stringify(value.slice(0, SHOWN_CHARACTERS)).slice(0, -1)}…"`;
}

/** @param right what would be right, as a noun phrase */
export function wrong(value: unknown, right: string): FieldFault {
  return { path: '', text: `is ${shown(value)}, should be ${right}` };
}

function below(step: string, { path, text: what }: FieldFault): FieldFault {
  return { path: step + path, text: what };
}

/** The whole sentence. @param root what the checked value is called */
export function sentence(root: string, { path, text: what }: FieldFault): string {
  return `${root}${path} ${what}`;
}

export const text: Check = (value) => (typeof value === 'string' ? null : wrong(value, 'a text'));

export const flag: Check = (value) => (typeof value === 'boolean' ? null : wrong(value, 'true or false'));

/** A whole number. */
export function count(min: number, max: number): Check {
  return (value) =>
    typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max
      ? null
      : wrong(value, `a whole number from ${min} to ${max}`);
}

export const anyCount: Check = count(0, Number.MAX_SAFE_INTEGER);

export function oneOf(...choices: readonly (string | number)[]): Check {
  const right = choices.map((choice) => JSON.stringify(choice)).join(', ');
  return (value) =>
    choices.includes(value as string | number)
      ? null
      : wrong(value, choices.length > 1 ? `one of ${right}` : right);
}

export function orNull(check: Check): Check {
  return (value) => (value === null ? null : check(value));
}

/** @param what the items, for a message: `lines` */
export function list(check: Check, what: string, min = 0, max = Number.MAX_SAFE_INTEGER): Check {
  return (value) => {
    if (!Array.isArray(value)) return wrong(value, `a list of ${what}`);
    if (value.length < min) return { path: '', text: `holds no ${what}, should hold at least ${min}` };
    if (value.length > max)
      return { path: '', text: `holds ${value.length} ${what}, at most ${max} are taken` };
    for (let i = 0; i < value.length; i++) {
      const fault = check(value[i]);
      if (fault !== null) return below(`[${i}]`, fault);
    }
    return null;
  };
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** An own value; what an object inherits does not count. */
export function own(value: Readonly<Record<string, unknown>>, key: string): unknown {
  return Object.hasOwn(value, key) ? value[key] : undefined;
}

/** Any keys, every value as the check says. */
export function record(check: Check): Check {
  return (value) => {
    if (!isObject(value)) return wrong(value, 'an object');
    for (const key of Object.keys(value)) {
      const fault = check(value[key]);
      if (fault !== null) return below(`.${key.slice(0, SHOWN_CHARACTERS)}`, fault);
    }
    return null;
  };
}

type Checks = Readonly<Record<string, Check>>;

/**
 * An object with these own keys.
 * @param closed further keys are refused by name: a peer's spelling mistake must not pass for a default
 */
export function fields(required: Checks, optional: Checks = {}, closed = false): Check {
  const names = [...Object.keys(required), ...Object.keys(optional)];
  const must = Object.entries(required);
  const may = Object.entries(optional);
  return (value) => {
    if (!isObject(value)) return wrong(value, 'an object');
    if (closed) {
      const extra = Object.keys(value).find((key) => !names.includes(key));
      if (extra !== undefined) {
        const has = names.length === 0 ? 'should be empty' : `should have ${names.join(', ')}`;
        return { path: '', text: `has an unknown key ${shown(extra)}, ${has}` };
      }
    }
    for (let i = 0; i < must.length; i++) {
      const [name, check] = must[i] as [string, Check];
      const fault = check(own(value, name));
      if (fault !== null) return below(`.${name}`, fault);
    }
    for (let i = 0; i < may.length; i++) {
      const [name, check] = may[i] as [string, Check];
      const fault = Object.hasOwn(value, name) ? check(value[name]) : null;
      if (fault !== null) return below(`.${name}`, fault);
    }
    return null;
  };
}
