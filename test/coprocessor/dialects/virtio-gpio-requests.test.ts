import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DescriptorChain } from '../../../src/virtqueue/descriptor-chain.ts';
import { PlayedFirmware, type PlayedOptions, TokenLog } from './played-firmware.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

async function opened(options: PlayedOptions = {}) {
  const firmware = new PlayedFirmware(options);
  const chip = await firmware.open();
  const log = new TokenLog();
  const taken = () => firmware.take();
  const texts = (requests: ReturnType<typeof taken>) => requests.map(PlayedFirmware.text);
  return { firmware, chip, log, taken, texts };
}

describe('requests', () => {
  it('are the messages of the specification', async () => {
    const { firmware, chip, log } = await opened();
    chip.getDirection(0, log, 0);
    chip.setDirection(1, 2, log, 1);
    chip.getValue(2, log, 2);
    chip.setValue(3, 1, log, 3);
    chip.flush();
    expect(firmware.answerAll()).toEqual(['2:0=0', '3:1=2', '4:2=0', '5:3=1']);
    firmware.ring();
    expect(log.taken()).toEqual(['0: 0 0', '1: 0 0', '2: 0 0', '3: 0 0']);
    chip.setIrqType(0, 8, log, 4);
    chip.getValue(3, log, 5);
    chip.flush();
    expect(firmware.answerAll()).toEqual(['6:0=8', '4:3=0']);
    firmware.ring();
    expect(log.taken()).toEqual(['4: 0 0', '5: 0 1']);
    chip.close();
  });

  it('of different lines are under way together, and may be answered in any order', async () => {
    const { firmware, chip, log, taken } = await opened();
    for (let line = 0; line < 4; line++) chip.getValue(line, log, line);
    chip.flush();
    const requests = taken();
    expect(requests.map(({ line }) => line)).toEqual([0, 1, 2, 3]);
    for (const at of [2, 0, 3, 1]) firmware.answer(requests[at], 0, at & 1);
    firmware.ring();
    expect(log.taken()).toEqual(['2: 0 0', '0: 0 0', '3: 0 1', '1: 0 1']);
    chip.close();
  });

  it('of one line go one after the other', async () => {
    const { firmware, chip, log, taken, texts } = await opened();
    chip.setValue(0, 1, log, 0);
    chip.setDirection(0, 1, log, 1);
    chip.getValue(0, log, 2);
    chip.flush();
    const steps: string[] = [];
    for (let i = 0; i < 3; i++) {
      const requests = taken();
      steps.push(texts(requests).join());
      firmware.answer(requests[0], 0, 1);
      firmware.ring();
    }
    expect(steps).toEqual(['5:0=1', '3:0=1', '4:0=0']);
    expect(log.taken()).toEqual(['0: 0 1', '1: 0 1', '2: 0 1']);
    expect(taken()).toEqual([]);
    chip.close();
  });

  it('that the device answers with ERR, or with a status that there is not, have failed', async () => {
    const { firmware, chip, log, taken } = await opened();
    for (let line = 0; line < 3; line++) chip.getValue(line, log, line);
    chip.flush();
    const requests = taken();
    firmware.answer(requests[0], 1, 1);
    firmware.answer(requests[1], 2, 1);
    firmware.answer(requests[2], 0xff, 1);
    firmware.ring();
    expect(log.taken()).toEqual(['0: 1 0', '1: 1 0', '2: 1 0']);
    chip.close();
  });

  it('whose answer is short have failed, and are counted', async () => {
    const { firmware, chip, log, taken } = await opened();
    for (let line = 0; line < 2; line++) chip.getValue(line, log, line);
    chip.flush();
    const requests = taken();
    firmware.answer(requests[0], 0, 1, 0);
    firmware.answer(requests[1], 0, 1, 1);
    firmware.ring();
    expect(log.taken()).toEqual(['0: 1 0', '1: 1 0']);
    expect(chip.counters.shortAnswers).toBe(2);
    chip.close();
  });

  it('whose value is no level, or no direction, have failed, and are counted', async () => {
    const { firmware, chip, log, taken } = await opened();
    chip.getValue(0, log, 0);
    chip.getDirection(1, log, 1);
    chip.setValue(2, 1, log, 2);
    chip.flush();
    const requests = taken();
    firmware.answer(requests[0], 0, 2);
    firmware.answer(requests[1], 0, 3);
    // What says nothing may be anything.
    firmware.answer(requests[2], 0, 0);
    firmware.ring();
    expect(log.taken()).toEqual(['0: 1 0', '1: 1 0', '2: 0 0']);
    expect(chip.counters.badValues).toBe(2);
    chip.close();
  });

  it('that the device does not write into have failed, also after one that was OK in the same place', async () => {
    const { firmware, chip, log, taken } = await opened({ queueSizes: [2, 2] });
    for (let round = 0; round < 2; round++) {
      chip.getValue(0, log, round);
      chip.flush();
      const [request] = taken();
      if (round === 0) firmware.answer(request, 0, 1);
      else {
        firmware.queue(0).push(request?.chain as never, 2);
        firmware.queue(0).publish();
      }
      firmware.ring();
    }
    expect(log.taken()).toEqual(['0: 0 1', '1: 1 0']);
    chip.close();
  });

  it('ids in the used ring that name nothing are counted, and disturb nobody', async () => {
    const { firmware, chip, log, taken } = await opened();
    chip.getValue(0, log, 0);
    chip.flush();
    const [request] = taken();
    const queue = firmware.queue(0);
    for (const head of [15, 99, 0xffff_ffff]) queue.push(new DescriptorChain(head), 2);
    firmware.answer(request, 0, 1);
    queue.push(new DescriptorChain(request!.chain.head), 2);
    queue.publish();
    firmware.ring();
    expect(log.taken()).toEqual(['0: 0 1']);
    expect(chip.counters.badUsed).toBe(4);
    chip.close();
  });

  it('more than there is room for wait their turn, line by line', async () => {
    const { firmware, chip, log, taken } = await opened({ lineCount: 10, queueSizes: [4, 4] });
    for (let line = 0; line < 10; line++) {
      chip.getValue(line, log, line);
      chip.getDirection(line, log, 100 + line);
    }
    chip.flush();
    const served: number[] = [];
    for (let requests = taken(); requests.length > 0; requests = taken()) {
      expect(requests.length).toBeLessThanOrEqual(2);
      for (const request of requests) {
        served.push(request.line);
        firmware.answer(request, 0, request.line & 1);
      }
      firmware.ring();
    }
    expect(log.list).toHaveLength(20);
    // Nobody's second before everybody's first.
    expect([...served.slice(0, 10)].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    chip.close();
  });

  it('made from within an answer go out with the same pass', async () => {
    const { firmware, chip, log, taken, texts } = await opened();
    const then = {
      complete: (token: number, result: number, value: number) => {
        chip.getValue(1, log, 1);
        log.complete(token, result, value);
      },
    };
    chip.getValue(0, then, 0);
    chip.flush();
    firmware.answer(taken()[0], 0, 1);
    firmware.ring();
    expect(log.taken()).toEqual(['0: 0 1']);
    expect(texts(taken())).toEqual(['4:1=0']);
    chip.close();
  });
});

describe('requests that are not answered', () => {
  it('are given up after the time that is set, each by its own', async () => {
    const { chip, log } = await opened({ requestTimeoutMs: 100 });
    chip.getValue(0, log, 0);
    chip.flush();
    vi.advanceTimersByTime(60);
    chip.getValue(1, log, 1);
    chip.flush();
    vi.advanceTimersByTime(39);
    expect(log.taken()).toEqual([]);
    vi.advanceTimersByTime(2);
    expect(log.taken()).toEqual(['0: 2 0']);
    vi.advanceTimersByTime(57);
    expect(log.taken()).toEqual([]);
    vi.advanceTimersByTime(3);
    expect(log.taken()).toEqual(['1: 2 0']);
    expect(chip.counters.timeouts).toBe(2);
    chip.close();
  });

  it('leave no timer behind', async () => {
    const { firmware, chip, log } = await opened();
    chip.getValue(0, log, 0);
    chip.flush();
    firmware.answerAll();
    firmware.ring();
    vi.advanceTimersByTime(1000);
    expect(vi.getTimerCount()).toBe(0);
    chip.getValue(0, log, 0);
    chip.close();
    vi.advanceTimersByTime(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('a late answer is nobody’s, and least of all the next request’s', async () => {
    const { firmware, chip, log, taken, texts } = await opened();
    chip.getValue(0, log, 0);
    chip.flush();
    const [late] = taken();
    vi.advanceTimersByTime(101);
    expect(log.taken()).toEqual(['0: 2 0']);
    chip.getValue(0, log, 1);
    chip.flush();
    // The line is busy until the co-processor has let go of the buffer.
    expect(taken()).toEqual([]);
    firmware.answer(late, 0, 1);
    firmware.ring();
    expect(log.taken()).toEqual([]);
    const requests = taken();
    expect(texts(requests)).toEqual(['4:0=0']);
    firmware.answer(requests[0], 0, 0);
    firmware.ring();
    expect(log.taken()).toEqual(['1: 0 0']);
    chip.close();
  });

  it('do not keep other lines', async () => {
    const { firmware, chip, log, taken } = await opened();
    chip.getValue(0, log, 0);
    chip.flush();
    taken();
    vi.advanceTimersByTime(101);
    chip.getValue(1, log, 1);
    chip.flush();
    firmware.answerAll();
    firmware.ring();
    expect(log.taken()).toEqual(['0: 2 0', '1: 0 1']);
    chip.close();
  });

  it('and were not sent yet never are: who asked was told that it was not done', async () => {
    const { firmware, chip, log, taken, texts } = await opened({ lineCount: 6, queueSizes: [4, 4] });
    for (let line = 0; line < 4; line++) chip.setValue(line, 1, log, line);
    chip.setValue(0, 0, log, 10);
    chip.flush();
    const requests = taken();
    expect(texts(requests)).toEqual(['5:0=1', '5:1=1']);
    vi.advanceTimersByTime(101);
    expect(log.taken()).toHaveLength(5);
    chip.setValue(5, 1, log, 20);
    chip.setValue(2, 0, log, 21);
    chip.flush();
    for (const request of requests) firmware.answer(request, 0);
    firmware.ring();
    expect(texts(taken())).toEqual(['5:2=0', '5:5=1']);
    chip.close();
  });

  it('do not pile up while the co-processor hangs', async () => {
    const { firmware, chip, log, taken } = await opened({ lineCount: 8, queueSizes: [4, 4] });
    // Not yet for so long that it is taken for hung.
    for (let i = 0; i < 2; i++) {
      for (let line = 0; line < 8; line++) chip.getValue(line, log, line);
      chip.flush();
      vi.advanceTimersByTime(101);
      expect(log.taken()).toEqual(Array.from({ length: 8 }, (_, line) => `${line}: 2 0`));
    }
    // It comes back: two late answers, and then whoever asks is served.
    const late = taken();
    expect(late).toHaveLength(2);
    for (let line = 0; line < 8; line++) chip.getValue(line, log, line);
    chip.flush();
    for (const request of late) firmware.answer(request, 0);
    firmware.ring();
    for (let rounds = 0; rounds < 4; rounds++) {
      firmware.answerAll();
      firmware.ring();
    }
    expect([...log.taken()].sort()).toEqual(Array.from({ length: 8 }, (_, line) => `${line}: 0 ${line & 1}`));
    expect(chip.counters.timeouts).toBe(16);
    chip.close();
  });

  it('a consumer that asks again when it is told is served', async () => {
    const { firmware, chip, log, taken } = await opened();
    const again = {
      complete: (_token: number, result: number) => {
        log.complete(0, result, 0);
        chip.getValue(1, log, 1);
      },
    };
    chip.getValue(0, again, 0);
    chip.flush();
    taken();
    vi.advanceTimersByTime(101);
    // Flushed by the chip itself: nobody else would.
    firmware.answerAll();
    firmware.ring();
    expect(log.taken()).toEqual(['0: 2 0', '1: 0 1']);
    chip.close();
  });
});
