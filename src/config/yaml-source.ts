import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  type Scalar,
  visit,
  type YAMLMap,
} from 'yaml';
import { type ConfigFault, type ConfigPath, formatPath } from './config-error.ts';

/** How often aliases may be expanded; guards against documents that grow exponentially. */
const MAX_ALIAS_COUNT = 100;
/** Aliases of a document: the parser looks through all of them for each. */
const MAX_ALIASES = 1000;

/** A parsed YAML document that knows where its keys and values are. */
export interface YamlSource {
  /** The document as plain values; meaningless when there are faults. */
  readonly value: unknown;
  /** What is wrong with the document as YAML. */
  readonly faults: readonly ConfigFault[];
  /** Where the value at a path is, or the nearest thing around it that exists. */
  placeOfValue(path: ConfigPath): Place;
  /** Where the key at a path is, or the nearest thing around it that exists. */
  placeOfKey(path: ConfigPath): Place;
  /** The number at a path as the file has it, e.g. in hex. */
  numberAsWritten(path: ConfigPath): string | undefined;
}

/** A place in the file, counted from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

/** What would be right, for the faults of YAML's parser that need more than its own words. */
const REMEDIES: Readonly<Record<string, readonly [wrong: string, right: string]>> = {
  MULTIPLE_DOCS: ['a second document begins here', 'write one document, without a "---" line inside'],
  TAB_AS_INDENT: ['a tab is used as indentation', 'indent with spaces'],
  RESOURCE_EXHAUSTION: ['lists or maps are nested too deeply', 'nest as the reference page shows'],
  TAG_RESOLVE_FAILED: ['unknown tag', 'write plain values, without "!" tags'],
};

/** Parses YAML 1.2; never throws for what the text holds. */
export function parseYaml(text: string): YamlSource {
  const lineCounter = new LineCounter();
  // The parser's own check for unique keys compares each with each; it is done below.
  const document = parseDocument(text, {
    lineCounter,
    prettyErrors: false,
    logLevel: 'error',
    uniqueKeys: false,
  });
  const placeAt = (offset: number): Place => {
    const { line, col } = lineCounter.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const fault = (key: string, wrong: string, right: string, offset: number): ConfigFault => ({
    key,
    wrong,
    right,
    ...placeAt(offset),
  });

  // The parser repeats itself on a broken document: only the first fault of a place is news.
  const faults: ConfigFault[] = [];
  for (const { code, message, pos } of [...document.errors, ...document.warnings].slice(0, 100)) {
    const [wrong, right] = REMEDIES[code] ?? [message, 'write valid YAML'];
    const found = fault('', wrong, right, pos[0]);
    if (!faults.some(({ line, column }) => line === found.line && column === found.column))
      faults.push(found);
  }

  // In the order of the document, which is that of the visit: an alias means the last value before it that has its name. The
  // parser's own search goes through the whole document for each.
  const named = new Map<string, Node>();
  const meant = new Map<unknown, Node>();
  const name = (node: { readonly anchor?: string | undefined } & Node): void => {
    if (node.anchor !== undefined) named.set(node.anchor, node);
  };
  if (faults.length === 0) {
    let aliases = 0;
    visit(document, {
      Scalar: (_key, scalar) => name(scalar),
      Seq: (_key, seq) => name(seq),
      Map(_key, map) {
        name(map);
        const seen = new Set<string>();
        for (const { key } of map.items) {
          const offset = startOf(key) ?? 0;
          if (!isScalar(key)) {
            faults.push(fault('', 'a key is not a plain word', 'write keys as plain words', offset));
            continue;
          }
          const word = String(key.value ?? '');
          if (word === '__proto__') {
            faults.push(fault('', 'the key "__proto__" is reserved', 'choose another name', offset));
          }
          if (seen.has(word)) {
            faults.push(
              fault('', `the key "${word}" occurs twice in one map`, 'keep one of the two', offset),
            );
          }
          seen.add(word);
        }
      },
      Alias(_key, alias) {
        const target = named.get(alias.source);
        const offset = startOf(alias) ?? 0;
        if (++aliases > MAX_ALIASES) {
          faults.push(
            fault('', `there are more than ${MAX_ALIASES} aliases`, 'write the values out', offset),
          );
          return visit.BREAK;
        }
        if (target === undefined) {
          const right = `write "&${alias.source}" before the value that is meant`;
          faults.push(fault('', `no value is named "${alias.source}" before this alias`, right, offset));
        } else if ((target.range?.[1] ?? 0) >= offset) {
          faults.push(
            fault('', `the alias "${alias.source}" is part of its own value`, 'write the value out', offset),
          );
        } else {
          meant.set(alias, target);
        }
        return undefined;
      },
    });
  }

  let value: unknown;
  if (faults.length === 0) {
    try {
      value = document.toJS({ maxAliasCount: MAX_ALIAS_COUNT });
    } catch {
      // Aliases are resolved above: what is left to go wrong is their number.
      faults.push(fault('', 'aliases multiply the document too often', 'write the values out', 0));
    }
  }

  const resolve = (node: unknown): unknown => (isAlias(node) ? meant.get(node) : node);
  const pairs = new Map<unknown, ReadonlyMap<string, Pair>>();
  const pairsOf = (map: YAMLMap): ReadonlyMap<string, Pair> => {
    let known = pairs.get(map);
    if (known === undefined) {
      // Of a key that is there twice, the first.
      const items = map.items.filter(({ key }) => isScalar(key)).reverse();
      known = new Map(items.map((pair) => [String((pair.key as Scalar).value ?? ''), pair]));
      pairs.set(map, known);
    }
    return known;
  };
  const find = (path: ConfigPath): { node: unknown; keyOffset: number; valueOffset: number } => {
    let node: unknown = document.contents;
    let valueOffset = startOf(document.contents) ?? 0;
    let keyOffset = valueOffset;
    for (const step of path) {
      node = resolve(node);
      let child: unknown;
      if (isMap(node)) {
        const pair = pairsOf(node).get(String(step));
        if (pair === undefined) break;
        child = pair.value;
        keyOffset = startOf(pair.key) ?? keyOffset;
        valueOffset = valueOffsetOf(pair) ?? keyOffset;
      } else if (isSeq(node)) {
        child = node.items[Number(step)];
        if (child === undefined) break;
        valueOffset = startOf(child) ?? valueOffset;
        keyOffset = valueOffset;
      } else {
        break;
      }
      node = child;
    }
    return { node: resolve(node), keyOffset, valueOffset };
  };
  return {
    value,
    faults,
    placeOfKey: (path) => placeAt(find(path).keyOffset),
    placeOfValue: (path) => placeAt(find(path).valueOffset),
    numberAsWritten: (path) => {
      const { node } = find(path);
      return isScalar(node) && typeof node.value === 'number' ? node.source : undefined;
    },
  };
}

function startOf(node: unknown): number | undefined {
  return (node as Node | null | undefined)?.range?.[0];
}

/** A value that is left out has its place at the key, where one would look. */
function valueOffsetOf(pair: Pair): number | undefined {
  const isEmpty = isScalar(pair.value) && pair.value.value === null && pair.value.source === '';
  return startOf(isEmpty ? pair.key : pair.value) ?? startOf(pair.key);
}

/** A fault at a path of a document. */
export function faultAt(
  source: YamlSource,
  path: ConfigPath,
  at: 'key' | 'value',
  wrong: string,
  right: string,
): ConfigFault {
  const place = at === 'key' ? source.placeOfKey(path) : source.placeOfValue(path);
  return { key: formatPath(path), wrong, right, ...place };
}
