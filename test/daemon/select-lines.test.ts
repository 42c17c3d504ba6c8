import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { loadConfig } from '../../src/config/config.ts';
import { selectAll } from '../../src/daemon/select-lines.ts';
import { ChipLines } from '../../src/gpio/chip-lines.ts';
import { SimulatedChip } from '../../src/testing/simulated-chip.ts';

/** The firmware's names: the configuration cannot know them. */
const HUB = new ChipLines(new SimulatedChip('hub', 3, ['LED', 'KEY', '']));
const CHIPS = `coprocessors:
  m4:
    memory: [{ type: uio, device: uio0, deviceAddress: 0 }]
    resourceTable: { deviceAddress: 0 }
    doorbell: { type: poll }
chips: { hub: { coprocessor: m4 }, gone: { coprocessor: m4, vdev: 1 } }
`;

function select(text: string) {
  const folder = mkdtempSync(join(tmpdir(), 'rproc-gpio-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'a.yaml');
  writeFileSync(file, CHIPS + text);
  return selectAll(loadConfig(file), [HUB], file);
}

describe('selectAll', () => {
  it('selects for exports and MQTT, and tells exports whose chip is not there', () => {
    const { exports, missing, mqtt } = select(`exports:
  vm1: { socket: a, lines: [{ line: hub/LED, access: owner }, 'hub/K*'] }
  vm2: { socket: b, lines: [gone/X] }
mqtt: { broker: embedded, lines: [gone/Y, { line: hub/LED, access: read }, 'hub/*'] }
`);
    expect(exports.get('vm1')!.map(({ line, access }) => [line.name, access])).toEqual([
      ['LED', 'owner'],
      ['KEY', 'write'],
    ]);
    expect([...missing]).toEqual([['vm2', ['gone']]]);
    expect(mqtt.map(({ line, access, selector }) => [line.path, access, selector])).toEqual([
      ['hub/LED', 'read', 1],
      ['hub/KEY', 'write', 2],
      ['hub/#2', 'write', 2],
    ]);
  });

  it('refuses who would drive what another owns, which config check cannot know of two globs', () => {
    expect(() =>
      select(`exports:
  vm1: { socket: a, lines: [{ line: 'hub/L*', access: owner }] }
  vm2: { socket: b, lines: ['hub/?ED'] }
`),
    ).toThrow(
      /a\.yaml:9:29: exports\.vm2\.lines\[0\]: hub\/LED is owned by export vm1, and may only be read here; put \{ line: hub\/LED, access: read \} before it/,
    );
  });

  it('names the place of a line that does not exist', () => {
    expect(() => select('exports:\n  vm1: { socket: a, lines: [hub/LEG] }\n')).toThrow(
      /a\.yaml:8:29: exports\.vm1\.lines\[0\]: no line matches 'hub\/LEG'; hub has 3 lines: LED, KEY/,
    );
  });
});
