import type { z } from 'zod';
import { type ConfigFault, type ConfigPath, formatPath } from './config-error.ts';
import { nearest, suggest } from './suggestion.ts';
import { faultAt, type YamlSource } from './yaml-source.ts';

type Issue = z.core.$ZodIssue;

/** Faults that are reported of one file; after so many the file is another kind of file. */
const MAX_FAULTS = 100;

interface Found {
  readonly fault: ConfigFault;
  /** The missing key that an unknown key seems to stand for. */
  readonly meant?: string;
  readonly isMissing?: boolean;
}

/** Says the schema's issues with their places, what is wrong and what would be right. */
export function faultsOfIssues(issues: readonly Issue[], source: YamlSource): ConfigFault[] {
  const found = issues.slice(0, MAX_FAULTS).flatMap((issue) => faultsOf(issue, [], source));
  // A mistyped key is both unknown and missing: that it is mistyped says it all.
  const meant = new Set(found.flatMap((each) => each.meant ?? []));
  return found
    .filter(({ isMissing, fault }) => isMissing !== true || !meant.has(fault.key))
    .map(({ fault }) => fault);
}

function faultsOf(issue: Issue, base: ConfigPath, source: YamlSource): Found[] {
  const path: ConfigPath = [
    ...base,
    ...issue.path.map((step) => (typeof step === 'number' ? step : String(step))),
  ];
  switch (issue.code) {
    case 'unrecognized_keys': {
      // The schema gives the known keys in place of a message (schema.ts, section).
      const known = issue.message.split(' ');
      return issue.keys.slice(0, MAX_FAULTS).map((key) => {
        const fault = faultAt(
          source,
          [...path, key],
          'key',
          'unknown key',
          suggest(key, known, 'known keys'),
        );
        const meant = nearest(key, known);
        return meant === undefined ? { fault } : { fault, meant: formatPath([...path, meant]) };
      });
    }
    case 'invalid_key': {
      const wrong = `the name is ${show(path.at(-1))}`;
      return [{ fault: faultAt(source, path, 'key', wrong, expected(issue.issues[0]!)) }];
    }
    case 'invalid_union':
      if (issue.errors.length > 0) {
        return likeliestForm(issue.errors).flatMap((inner) => faultsOf(inner, path, source));
      }
      return [leafFault(issue, path, source)];
    default:
      return [leafFault(issue, path, source)];
  }
}

function leafFault(issue: Issue, path: ConfigPath, source: YamlSource): Found {
  const value = valueAt(source.value, path);
  if (value === undefined) {
    // What is missing has no place: the map that lacks it is the place to look at.
    return { fault: faultAt(source, path, 'key', 'is missing', expected(issue)), isMissing: true };
  }
  const wrong = `${path.length === 0 ? 'the document ' : ''}is ${source.numberAsWritten(path) ?? show(value)}`;
  return { fault: faultAt(source, path, 'value', wrong, expected(issue)) };
}

function expected(issue: Issue): string {
  return `expected ${issue.message}`;
}

/**
 * The form of a union that the value was meant to be: one whose kind of value it is (text or a map), and of these the one
 * with the fewest faults.
 */
function likeliestForm(forms: readonly (readonly Issue[])[]): readonly Issue[] {
  const isOtherKind = (issues: readonly Issue[]) =>
    issues.some(({ code, path }) => code === 'invalid_type' && path.length === 0);
  const cost = (issues: readonly Issue[]) => (isOtherKind(issues) ? 1000 : 0) + issues.length;
  return forms.reduce((best, form) => (cost(form) < cost(best) ? form : best));
}

function valueAt(value: unknown, path: ConfigPath): unknown {
  let current = value;
  for (const step of path) {
    if (typeof current !== 'object' || current === null) return undefined;
    current = (current as Record<string | number, unknown>)[step];
  }
  return current;
}

/** A value as it may be written in a message: short, on one line. */
function show(value: unknown): string {
  if (value === null) return 'empty';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'object') return 'a map';
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}
