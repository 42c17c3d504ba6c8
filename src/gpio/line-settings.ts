/** `read` never drives, `write` may become owner, `owner`: nobody else may. */
export type Access = 'read' | 'write' | 'owner';

/**
 * What a consumer uses a line as. `input`: this consumer never makes it an output; `output`: never uses it as an input
 * (direction in and interrupts are refused).
 */
export type Role = 'input' | 'output' | 'any';

/**
 * What becomes of an output that its owner gives up: `keep` leaves level and direction as they are, `input` makes it an
 * input, `low` and `high` leave it an output of that level.
 */
export type OnRelease = 'keep' | 'input' | 'low' | 'high';

/** How a line starts: an input, or an output of that level. */
export type InitialState = 'in' | 'low' | 'high';

/** What a configuration says of a line, for all its consumers. */
export interface LineSettings {
  /** Logical levels (people's consumers) are the inverse of those on the wire. Guests do their own. */
  readonly activeLow: boolean;
  /** Debounce period of consumers that ask for none of their own; 0 = off. */
  readonly debounceMs: number;
  /** null = as the firmware left it. */
  readonly initial: InitialState | null;
  readonly onRelease: OnRelease;
}

export const DEFAULT_LINE_SETTINGS: LineSettings = {
  activeLow: false,
  debounceMs: 0,
  initial: null,
  onRelease: 'keep',
};

/** How a consumer opens a line. */
export interface OpenOptions {
  /** Default: `write`. */
  readonly access?: Access | undefined;
  /** Default: `any`. */
  readonly role?: Role | undefined;
  /** Default: the line's, {@link LineSettings.debounceMs}. */
  readonly debounceMs?: number | undefined;
}
