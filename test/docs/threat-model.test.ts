import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const text = readFileSync(join(root, 'docs/threat-model.md'), 'utf8');
const named = (of: string): string[] =>
  [...of.matchAll(/`(test\/[^`]+)`/g)].map(([, path]) => path as string);
const sections = text
  .split(/^## /m)
  .slice(1)
  .map((section) => ({ title: section.slice(0, section.indexOf('\n')), section }));
const attackers = sections.filter(({ title }) => /attacker/i.test(title));

describe('docs/threat-model.md', () => {
  it.each([...new Set(named(text))])('names a test that exists: %s', (path) => {
    expect(existsSync(join(root, path))).toBe(true);
  });

  it('has an attacker for each party that is not trusted with everything', () => {
    expect(attackers.length).toBeGreaterThanOrEqual(6);
  });

  it.each(attackers)('$title: each promise has a test that shows it', ({ section }) => {
    expect(named(section).length).toBeGreaterThan(0);
    const promises = section.split(/^It cannot:$/m)[1]?.match(/^- .*$/gm) ?? [];
    for (const promise of promises) expect(named(promise), promise).not.toEqual([]);
  });
});
