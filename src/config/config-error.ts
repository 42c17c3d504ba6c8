/** A fault of a configuration file, before its place is known. */
export interface ConfigFault {
  /** Path to the key at fault, as in `exports.vm1.lines[2].access`; empty for the whole file. */
  readonly key: string;
  /** What is wrong, with the value. */
  readonly wrong: string;
  /** What would be right. */
  readonly right: string;
  /** Counted from 1; 0 when the file could not be read at all. */
  readonly line: number;
  /** Counted from 1 in characters; 0 when the file could not be read at all. */
  readonly column: number;
}

/**
 * A configuration that cannot be used. The message is `FILE:LINE:COLUMN: KEY: what is wrong; what would be right`, for the
 * fault that comes first in the file; all of them are in {@link ConfigError.all}. Exit code 2.
 */
export class ConfigError extends Error {
  /** Stable across releases; compare this instead of the message. */
  readonly code = 'ERR_CONFIG';
  /** The file's name as it was given. */
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly key: string;
  /** Every fault of the file by its place, this one first. */
  readonly all: readonly ConfigError[];

  /**
   * @param file the file's name
   * @param fault the fault to report
   * @param others further faults of the same file, in the order of their places
   */
  constructor(file: string, fault: ConfigFault, others: readonly ConfigFault[] = []) {
    const place = fault.line > 0 ? `${file}:${fault.line}:${fault.column}` : file;
    const key = fault.key === '' ? '' : `${shortened(fault.key)}: `;
    super(`${place}: ${key}${shortened(fault.wrong)}; ${shortened(fault.right)}`);
    this.name = 'ConfigError';
    this.file = file;
    this.line = fault.line;
    this.column = fault.column;
    this.key = fault.key;
    this.all = [this, ...others.map((other) => new ConfigError(file, other))];
  }
}

/** Longest part of a message; a file may hold a word of a megabyte where a name should be. */
const MAX_PART_LENGTH = 1000;

/** Its beginning and its end, when it is too long: what is wrong is said behind what was found. */
function shortened(text: string): string {
  if (text.length <= MAX_PART_LENGTH) return text;
  return `${text.slice(0, MAX_PART_LENGTH / 2)}…${text.slice(-MAX_PART_LENGTH / 2)}`;
}

/** A path in a document: map keys and list indices. */
export type ConfigPath = readonly (string | number)[];

/** Writes a path as people do: `exports.vm1.lines[2].access`. */
export function formatPath(path: ConfigPath): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`;
    return text === '' ? step : `${text}.${step}`;
  }, '');
}
