/**
 * A line selector names lines of chips: `*` (every line), or `CHIP/LINE`, in which both parts may hold `*` (any text) and
 * `?` (any character), and `#13` in place of a line's name is its offset.
 */
export interface LineSelector {
  /** Glob over chip names. */
  readonly chip: string;
  /** Glob over line names; `*` also takes lines without a name. Absent when an offset is given. */
  readonly line?: string;
  /** The line's offset in its chip. */
  readonly offset?: number;
}

/** The syntax of a selector. Names of lines are 7-bit ASCII (virtio 1.2, 5.18.2). */
export const LINE_SELECTOR_PATTERN = /^(\*|[A-Za-z0-9_*?-]+\/[ -~]+)$/;

/** Takes a selector apart; undefined when it is none. */
export function parseLineSelector(text: string): LineSelector | undefined {
  if (!LINE_SELECTOR_PATTERN.test(text)) return undefined;
  if (text === '*') return { chip: '*', line: '*' };
  const slash = text.indexOf('/');
  const chip = text.slice(0, slash);
  const line = text.slice(slash + 1);
  if (/^#\d+$/.test(line)) return { chip, offset: Number(line.slice(1)) };
  return { chip, line };
}

/** Whether a part of a selector can stand for more than one name. */
export function isGlob(pattern: string): boolean {
  return /[*?]/.test(pattern);
}

/** Whether a selector can stand for one line only. */
export function isSingleLine(selector: LineSelector): boolean {
  return !isGlob(selector.chip) && (selector.line === undefined || !isGlob(selector.line));
}
