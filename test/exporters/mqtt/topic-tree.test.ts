import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { matches } from '../../../src/exporters/mqtt/broker-store.ts';
import { TopicTree } from '../../../src/exporters/mqtt/topic-tree.ts';

const lines = [
  { chip: 'hub', segment: 'IMU_INT' },
  { chip: 'hub', segment: 'LED_STATUS' },
  { chip: 'soc', segment: 'IMU_INT' },
  { chip: 'soc', segment: '__proto__' },
];
const tree = new TopicTree({ baseTopic: 'plant/a', gateway: 'gw1', chips: ['hub', 'soc'], lines });
const OWN_KINDS = ['state', 'event', 'direction', 'result'] as const;

describe('TopicTree', () => {
  it('builds the topics of design.md', () => {
    expect(tree.status).toBe('plant/a/gw1/status');
    expect(tree.chipStatus('hub')).toBe('plant/a/gw1/hub/status');
    expect(tree.diagnostics('soc')).toBe('plant/a/gw1/soc/diagnostics');
    expect(tree.line(1)).toEqual({
      state: 'plant/a/gw1/hub/LED_STATUS/state',
      event: 'plant/a/gw1/hub/LED_STATUS/event',
      direction: 'plant/a/gw1/hub/LED_STATUS/direction',
      set: 'plant/a/gw1/hub/LED_STATUS/set',
      directionSet: 'plant/a/gw1/hub/LED_STATUS/direction/set',
      get: 'plant/a/gw1/hub/LED_STATUS/get',
      result: 'plant/a/gw1/hub/LED_STATUS/result',
    });
  });

  it('recognises commands, and nothing else', () => {
    lines.forEach((_, line) => {
      const topics = tree.line(line);
      expect(tree.match(topics.set)).toEqual({ line, verb: 'set' });
      expect(tree.match(topics.directionSet)).toEqual({ line, verb: 'direction/set' });
      expect(tree.match(topics.get)).toEqual({ line, verb: 'get' });
      for (const kind of OWN_KINDS) expect(tree.match(topics[kind])).toBeNull();
    });
    for (const topic of [
      'constructor',
      '__proto__',
      '',
      'plant/a/gw1/hub/OTHER/set',
      'plant/a/gw1/hub/IMU_INT/set/',
      'plant/a/gw2/hub/IMU_INT/set',
    ]) {
      expect(tree.match(topic)).toBeNull();
    }
  });

  it('subscribes to all commands and to nothing of its own with three wildcards', () => {
    expect(tree.commandFilters).toHaveLength(3);
    const isTaken = (topic: string) =>
      tree.commandFilters.some((filter) => matches(filter.split('/'), topic));
    lines.forEach((_, line) => {
      const topics = tree.line(line);
      for (const topic of [topics.set, topics.directionSet, topics.get]) expect(isTaken(topic)).toBe(true);
      for (const kind of OWN_KINDS) expect(isTaken(topics[kind])).toBe(false);
    });
    for (const topic of [tree.status, tree.chipStatus('hub'), tree.diagnostics('hub')]) {
      expect(isTaken(topic)).toBe(false);
    }
  });

  it('subscribes to nothing when there are no lines', () => {
    const empty = new TopicTree({ baseTopic: 'b', gateway: 'g', chips: [], lines: [] });
    expect(empty.commandFilters).toEqual([]);
  });

  it('says which line or chip it does not have', () => {
    expect(() => tree.line(4)).toThrow('line 4 of 4');
    expect(() => tree.chipStatus('nope')).toThrow('no chip nope');
  });

  it('has no topic twice, whatever the segments are', () => {
    const segment = fc.oneof(
      fc.constantFrom('status', 'diagnostics', 'set', 'direction', 'get', 'state', 'event', 'result'),
      fc.stringMatching(/^[A-Za-z0-9_-]{1,5}$/),
    );
    const list = fc.uniqueArray(fc.record({ chip: segment, segment }), {
      selector: (each) => `${each.chip}/${each.segment}`,
      maxLength: 20,
    });
    fc.assert(
      fc.property(list, (all) => {
        const chips = [...new Set(all.map(({ chip }) => chip))];
        const any = new TopicTree({ baseTopic: 'b', gateway: 'g', chips, lines: all });
        const topics = [
          any.status,
          ...chips.flatMap((chip) => [any.chipStatus(chip), any.diagnostics(chip)]),
        ];
        all.forEach((_, index) => {
          topics.push(...Object.values(any.line(index)));
        });
        expect(new Set(topics).size).toBe(topics.length);
      }),
    );
  });
});
