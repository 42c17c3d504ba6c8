import { describe, expect, it } from 'vitest';
import { StateTopics } from '../../../src/exporters/mqtt/worker/state-topics.ts';

function take(topics: StateTopics): number[] {
  const taken: number[] = [];
  for (let topic = topics.next(); topic >= 0; topic = topics.next()) {
    topics.sent(topic, `${topic}`);
    taken.push(topic);
  }
  return taken;
}

describe('topics of which the last message counts', () => {
  it('has one message of a topic on its way, and the next one after it', () => {
    const topics = new StateTopics(3);
    topics.mark(1);
    topics.mark(1);
    expect(take(topics)).toEqual([1]);
    topics.mark(1);
    topics.mark(2);
    expect(take(topics)).toEqual([2]);
    topics.arrived(1);
    expect(take(topics)).toEqual([1]);
    topics.arrived(1);
    expect(take(topics)).toEqual([]);
  });

  it('says everything once after a connect, in order, before anything newer', () => {
    const topics = new StateTopics(4);
    topics.mark(3);
    topics.restart();
    expect(topics.isFirstRound).toBe(true);
    const first = topics.next();
    topics.sent(first, 'x');
    topics.arrived(first);
    topics.mark(first);
    expect(first).toBe(0);
    expect(topics.isFirstRound).toBe(true);
    for (const topic of [1, 2, 3]) expect(topics.next()).toBe(topic);
    expect(topics.isFirstRound).toBe(false);
    expect(topics.next()).toBe(0);
  });

  it('forgets a broken connection', () => {
    const topics = new StateTopics(2);
    topics.mark(0);
    take(topics);
    expect(topics.isNews(0, '0')).toBe(false);
    topics.restart();
    expect(topics.isNews(0, '0')).toBe(true);
    expect(take(topics)).toEqual([0, 1]);
  });

  it('repeats all on the same connection, those on their way after their arrival', () => {
    const topics = new StateTopics(2);
    topics.mark(0);
    take(topics);
    topics.repeat();
    expect(take(topics)).toEqual([1]);
    expect(topics.isPending(0)).toBe(true);
    topics.arrived(0);
    expect(topics.isNews(0, '0')).toBe(true);
    expect(take(topics)).toEqual([0]);
  });

  it('has nothing to say when it was cleared', () => {
    const topics = new StateTopics(2);
    topics.restart();
    topics.clear();
    expect([topics.next(), topics.isEmpty, topics.isFirstRound, topics.isPending(0)]).toEqual([
      -1,
      true,
      false,
      false,
    ]);
  });
});
