import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/config.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const pages = [
  'README.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];
const examples = readdirSync(join(root, 'examples')).filter((name) => name.endsWith('.yaml'));

describe('examples in the documentation', () => {
  const blocks = pages.flatMap((page) => {
    const text = readFileSync(join(root, page), 'utf8');
    return [...text.matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map((match, index) => ({
      page,
      index,
      yaml: match[1] as string,
    }));
  });

  it('are there', () => expect(blocks.length).toBeGreaterThan(0));

  it.each(blocks)('$page: YAML example $index is a valid configuration', ({ page, yaml }) => {
    // A page about one section shows that section; every file needs a chip.
    const whole = /^chips:/m.test(yaml)
      ? yaml
      : `${yaml}chips: { hub: { type: gpiochip, path: gpiochip0 } }\n`;
    expect(() => parseConfig(whole, page)).not.toThrow();
  });

  it.each(examples)('examples/%s is a valid configuration', (name) => {
    const file = join(root, 'examples', name);
    expect(() => parseConfig(readFileSync(file, 'utf8'), file)).not.toThrow();
  });

  it.each(pages)('%s: every file that it links to exists', (page) => {
    const text = readFileSync(join(root, page), 'utf8');
    const folder = join(root, page, '..');
    for (const [, target] of text.matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)) {
      expect(() => readdirOrRead(join(folder, target as string)), `${page} -> ${target}`).not.toThrow();
    }
  });
});

function readdirOrRead(path: string): void {
  try {
    readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EISDIR') return;
    throw error;
  }
}
