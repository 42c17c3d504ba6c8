import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { mqtt } from '../../../src/config/schema-mqtt.ts';
import { MAX_COMMAND_BYTES, parseCommand } from '../../../src/exporters/mqtt/command-payload.ts';
import { MAX_COMMANDS, MAX_COMMANDS_PER_LINE } from '../../../src/exporters/mqtt/worker/command-intake.ts';

const PAGE = readFileSync(new URL('../../../docs/mqtt.md', import.meta.url), 'utf8');

function blocks(language: string): string[] {
  return [...PAGE.matchAll(new RegExp(`^\`\`\`${language}\n([\\s\\S]*?)^\`\`\``, 'gm'))].map(
    (match) => match[1] as string,
  );
}

describe('docs/mqtt.md', () => {
  it('has configurations that are taken', () => {
    const examples = blocks('yaml');
    expect(examples.length).toBeGreaterThan(5);
    for (const example of examples) {
      const document = parse(example) as { mqtt: unknown };
      expect(Object.keys(document)).toEqual(['mqtt']);
      const result = mqtt.safeParse(document.mqtt);
      expect(result.success, `${example}: ${result.error?.message}`).toBe(true);
    }
  });

  it('has messages that are JSON', () => {
    const lines = blocks('json').flatMap((block) => block.trim().split('\n'));
    expect(lines.length).toBeGreaterThan(2);
    for (const line of lines) expect(() => JSON.parse(line)).not.toThrow();
  });

  it('has commands that are understood, and the bounds that there are', () => {
    for (const payload of [
      'ON',
      'OFF',
      '1',
      '0',
      'true',
      'false',
      'toggle',
      '{"value": "ON", "durationMs": 500}',
    ]) {
      expect(PAGE).toContain(payload);
      expect(parseCommand('set', Buffer.from(payload))).not.toHaveProperty('fault');
    }
    for (const payload of ['in', 'out', 'none', 'release']) {
      expect(PAGE).toContain(`\`${payload}\``);
      expect(parseCommand('direction/set', Buffer.from(payload))).not.toHaveProperty('fault');
    }
    expect(PAGE).toContain(`A payload may have ${MAX_COMMAND_BYTES} bytes`);
    expect(PAGE).toContain(`${MAX_COMMANDS} commands may be under way, ${MAX_COMMANDS_PER_LINE} of one line`);
  });
});
