import { matchesGlob } from '../gpio/line-selection.ts';
import type { ConfigPath } from './config-error.ts';
import { isGlob, isSingleLine, type LineSelector, parseLineSelector } from './line-selector.ts';
import type { Report } from './report.ts';
import type { ChipConfig, Config } from './schema.ts';
import type { SelectedLineConfig } from './schema-lines.ts';
import { suggest } from './suggestion.ts';

type Chips = Config['chips'];

/** A list of lines that a consumer takes. */
interface Selection {
  readonly consumer: string;
  readonly path: ConfigPath;
  readonly lines: readonly SelectedLineConfig[];
}

/** All lists of lines: that they can mean something, and that they do not contradict each other. */
export function checkLines(config: Config, report: Report): void {
  const { chips, exports, mqtt, log } = config;
  const selections: Selection[] = Object.entries(exports).map(([name, { lines }]) => ({
    consumer: `export "${name}"`,
    path: ['exports', name, 'lines'],
    lines,
  }));
  if (mqtt !== undefined) selections.push({ consumer: 'mqtt', path: ['mqtt', 'lines'], lines: mqtt.lines });
  for (const { path, lines } of selections) checkSelection(path, lines, chips, report);
  checkOwners(selections, report);
  log.lines.forEach((line, index) => {
    checkSelector(line, ['log', 'lines', index], chips, report);
  });
  for (const [name, chip] of Object.entries(chips)) checkSettings(name, chip, report);
}

function checkSelection(
  listPath: ConfigPath,
  lines: readonly SelectedLineConfig[],
  chips: Chips,
  report: Report,
): void {
  const indexOfLine = new Map<string, number>();
  const indexOfName = new Map<string, number>();
  lines.forEach(({ line, name, access, role }, index) => {
    const path = [...listPath, index];
    const selector = checkSelector(line, path, chips, report);
    if (role === 'output' && access === 'read') {
      report(
        [...path, 'role'],
        'is "output" with access "read"',
        'an output that is never driven: leave one of them out',
      );
    }
    if (role === 'input' && access === 'owner') {
      report(
        [...path, 'role'],
        'is "input" with access "owner"',
        'an owner is who may drive the line: leave one of them out',
      );
    }
    if (name !== undefined) {
      if (!isSingleLine(selector)) {
        const right = 'rename lines one by one, without "*" and "?"';
        report([...path, 'name'], `is one name for all lines of "${line}"`, right);
      }
      // Names are unique in a device, and under a chip's topic.
      const scope = listPath[0] === 'mqtt' ? `${selector.chip}/${name}` : name;
      const before = indexOfName.get(scope);
      if (before !== undefined)
        report([...path, 'name'], `lines[${before}] has the name "${name}" already`, 'choose another name');
      indexOfName.set(scope, index);
    }
    if (!isSingleLine(selector)) return;
    const before = indexOfLine.get(line);
    if (before !== undefined) report(path, `lines[${before}] is "${line}" already`, 'list a line once');
    indexOfLine.set(line, index);
  });
}

/** Nobody else may drive what has an owner: who lists the line too can only read it, and has to say so. */
function checkOwners(selections: readonly Selection[], report: Report): void {
  selections.forEach((owning, at) => {
    for (const { line: owned, access } of owning.lines) {
      if (access !== 'owner') continue;
      selections.forEach((other, otherAt) => {
        if (other !== owning) checkOwner(owned, owning.consumer, other, otherAt < at, report);
      });
    }
  });
}

/** @param isBefore the other comes first: of two owners it is the second one that is at fault */
function checkOwner(owned: string, owner: string, other: Selection, isBefore: boolean, report: Report): void {
  // The first selector that matches takes the line.
  const index = other.lines.findIndex(({ line }) => line === owned || takes(line, owned));
  const taking = other.lines[index];
  if (taking === undefined || taking.access === 'read') return;
  if (isBefore && taking.access === 'owner' && taking.line === owned) return;
  const path = [...other.path, index];
  const wrong =
    taking.access === 'owner'
      ? `"${owned}" is owned by ${owner} already`
      : `"${owned}" is owned by ${owner}, and may only be read here`;
  if (taking.line === owned)
    return report(path, wrong, 'give a line one owner; the others take access: read');
  report(
    path,
    `"${taking.line}" includes "${owned}": ${wrong}`,
    `put { line: ${owned}, access: read } before it`,
  );
}

/** Whether a selector takes a line that is named; what two globs have in common is known only at run time. */
function takes(selector: string, line: string): boolean {
  const { chip, offset, line: name } = parseLineSelector(line) ?? { chip: '' };
  if (name === undefined || offset !== undefined || isGlob(chip) || isGlob(name)) return false;
  const by = parseLineSelector(selector);
  return by?.line !== undefined && matchesGlob(by.chip, chip) && matchesGlob(by.line, name);
}

function checkSettings(name: string, chip: ChipConfig, report: Report): void {
  for (const key of Object.keys(chip.lineSettings)) {
    const selector = parseLineSelector(`${name}/${key}`);
    if (selector !== undefined && mayHaveLine(chip, selector)) continue;
    report(['chips', name, 'lineSettings', key], `"${key}" is no line`, linesOf(name, chip), 'key');
  }
}

/** Checks that a selector can mean something, and takes it apart. */
function checkSelector(text: string, path: ConfigPath, chips: Chips, report: Report): LineSelector {
  const selector = parseLineSelector(text)!;
  const matching = Object.entries(chips).filter(([name]) => matchesGlob(selector.chip, name));
  const hasChips = Object.keys(chips).length > 0;
  if (matching.length === 0 && hasChips) {
    const wrong = `"${text}" names no chip`;
    report(path, wrong, suggest(selector.chip, Object.keys(chips), 'chips'));
  } else if (hasChips && !matching.some(([, chip]) => mayHaveLine(chip, selector))) {
    const [name, chip] = matching[0]!;
    report(path, `"${text}" is no line`, linesOf(name, chip));
  }
  return selector;
}

/** Lines of a simulated chip; of others they are known only at run time. */
function linesOf(name: string, chip: ChipConfig): string {
  const count = chip.type === 'sim' ? chip.lines : 0;
  const last = count - 1;
  const range = count === 1 ? 'the line sim0 (#0)' : `the lines sim0 (#0) to sim${last} (#${last})`;
  return `"${name}" has ${range}`;
}

function mayHaveLine(chip: ChipConfig, { line, offset }: LineSelector): boolean {
  if (chip.type !== 'sim') return true;
  if (offset !== undefined) return offset < chip.lines;
  if (line === undefined) return false;
  if (isGlob(line)) {
    return Array.from({ length: chip.lines }, (_, index) => `sim${index}`).some((name) =>
      matchesGlob(line, name),
    );
  }
  const [, digits] = /^sim(0|[1-9]\d{0,4})$/.exec(line) ?? [];
  return digits !== undefined && Number(digits) < chip.lines;
}
