import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { SimulatedChip } from '../../../src/testing/simulated-chip.ts';
import { TestConsumer } from '../../gpio/consumer.ts';
import { RawClient } from './raw-client.ts';
import { openLines, serve } from './served-control.ts';

const page = readFileSync(new URL('../../../docs/control.md', import.meta.url), 'utf8');

/** What is not the same at each run. */
function settled(message: unknown): unknown {
  const text = JSON.stringify(message).replace(/"timestampNs":"\d+"/g, '"timestampNs":"some time"');
  return JSON.parse(text);
}

describe('the session in docs/control.md', () => {
  const [, session = ''] = /^```text\n(< [\s\S]*?)^```/m.exec(page) ?? [];
  const steps = session.split('\n').filter((line) => line !== '');

  it('is there', () => {
    expect(steps.length).toBeGreaterThan(10);
    expect(steps.every((step) => /^[<>] \{/.test(step))).toBe(true);
  });

  it('goes as it says', async () => {
    const lines = openLines(new SimulatedChip('hub', 4, ['LED', 'LED_SENSE', 'RELAY', 'RELAY_SENSE']));
    new TestConsumer(lines, 2, 'guest vm1').setDirection(1);
    const { path } = await serve({ version: '0.1.0', chips: () => [lines] });
    const client = await RawClient.open(path);
    for (const step of steps) {
      const text = step.slice(2);
      if (step.startsWith('>')) client.send(`${text}\n`);
      else expect(settled(await client.next())).toEqual(settled(JSON.parse(text)));
    }
    expect(client.messages).toEqual([]);
  });
});
