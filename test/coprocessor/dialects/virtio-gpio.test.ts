import { describe, expect, it, vi } from 'vitest';
import { VirtioGpioChip, WANTED_FEATURES } from '../../../src/coprocessor/dialects/virtio-gpio.ts';
import { encodeNames } from '../../../src/wire/virtio-gpio.ts';
import { F_EVENT_IDX, F_IRQ, F_STREAM, PlayedFirmware, TokenLog } from './played-firmware.ts';

describe('opening a virtio-gpio vdev', () => {
  it('asks for interrupts, the event stream and EVENT_IDX', () => {
    expect(WANTED_FEATURES >>> 0).toBe(0x2001_0001);
  });

  it('reads the line names', async () => {
    const names = ['door', '', 'led', 'x'.repeat(300)];
    const firmware = new PlayedFirmware({ names });
    const chip = await firmware.open();
    expect([chip.name, chip.label, chip.lineCount]).toEqual(['hub', 'virtio-gpio on m4', 4]);
    expect([0, 1, 2, 3, 4].map((offset) => chip.lineName(offset))).toEqual([...names, '']);
    expect(chip).toMatchObject({ available: true, streamsLevels: false });
    chip.close();
  });

  it('does without names where the device has none', async () => {
    const firmware = new PlayedFirmware();
    const chip = await firmware.open();
    expect(firmware.take()).toEqual([]);
    expect(chip.lineName(0)).toBe('');
    chip.close();
  });

  it.each([
    [F_IRQ | F_STREAM, true, 'virtio-gpio+stream on m4'],
    [F_IRQ, false, 'virtio-gpio on m4'],
    [F_STREAM, false, 'virtio-gpio on m4'],
    [0, false, 'virtio-gpio on m4'],
  ])('streams levels only when both features are there: %i', async (features, streams, label) => {
    const chip = await new PlayedFirmware({ features }).open();
    expect([chip.streamsLevels, chip.label]).toEqual([streams, label]);
    chip.close();
  });

  const names = ['a', 'b', 'c', 'd'];
  it.each([
    ['0 lines', { lineCount: 0 }, /m4: vdev 0 has 0 lines; at least 1 is needed/],
    ['a short config', { config: new Uint8Array(4) }, /config at offset 0 is 4, expected at least 8 bytes/],
    [
      'a huge names block',
      { config: Uint8Array.of(4, 0, 0, 0, 0, 0, 0, 1) },
      /announces 16777216 bytes of line names; at most 262144/,
    ],
    ['no vrings', { queueSizes: [] }, /has no vrings; virtio-gpio needs 1, or 2 with interrupts/],
    ['a request vring of one descriptor', { queueSizes: [1, 16] }, /vring 0 of vdev 0 has 1 descriptor.*2/],
    ['an event vring of one descriptor', { queueSizes: [16, 1] }, /vring 1 of vdev 0 has 1 descriptor.*2/],
    [
      'an answer that is too short',
      { names, namesAnswer: encodeNames(['a', 'b', 'c']) },
      /GET_LINE_NAMES was refused \(status 0, 7 bytes, expected 9\)/,
    ],
    [
      'too few names in an answer of the right length',
      { names, namesAnswer: encodeNames(['a', 'b', 'ccc']) },
      /expected 4 names/,
    ],
    [
      'no answer',
      { names, namesAnswer: null, requestTimeoutMs: 4 },
      /no answer to GET_LINE_NAMES within 20 ms/,
    ],
    [
      'no answer, for as long as firmware may take to boot',
      { names, namesAnswer: null, requestTimeoutMs: 4, firstAnswerTimeoutMs: 35 },
      /no answer to GET_LINE_NAMES within 35 ms/,
    ],
  ])('refuses %s', async (_what, options, message) => {
    await expect(new PlayedFirmware(options).open()).rejects.toThrow(message);
  });

  it('refuses when the co-processor goes away meanwhile, or breaks its ring', async () => {
    const lost = new PlayedFirmware({ names, namesAnswer: null });
    const opening = lost.open();
    lost.lose('crashed');
    await expect(opening).rejects.toThrow('m4: vdev 0: crashed');
    const broken = new PlayedFirmware({ names, namesAnswer: null });
    const second = broken.open();
    broken.view.setUint16((broken.usedOffsets[0] as number) + 2, 1000, true);
    broken.ring();
    await expect(second).rejects.toThrow(/used index 1000 is 1000 ahead/);
  });

  it('waits on over calls that announce nothing', async () => {
    const firmware = new PlayedFirmware({ names, namesAnswer: null });
    const opening = firmware.open();
    firmware.ring();
    firmware.ring();
    const [request] = firmware.take();
    request?.chain.write(0, Uint8Array.of(0, ...encodeNames(names)));
    firmware.queue(0).push(request?.chain as never, 9);
    firmware.queue(0).publish();
    firmware.ring();
    const chip = await opening;
    expect(chip.lineName(3)).toBe('d');
    chip.close();
  });

  it('an event queue of one descriptor will do for a stream, and none for a chip without interrupts', async () => {
    const stream = await new PlayedFirmware({ features: F_IRQ | F_STREAM, queueSizes: [16, 1] }).open();
    expect(stream.streamsLevels).toBe(true);
    stream.close();
    const plain = await new PlayedFirmware({ features: F_IRQ, queueSizes: [16] }).open();
    const log = new TokenLog();
    plain.setIrqType(0, 1, log, 1);
    expect(log.taken()).toEqual(['1: 3 0']);
    plain.close();
  });
});

describe('a co-processor that goes away', () => {
  async function busy(features = F_IRQ) {
    const firmware = new PlayedFirmware({ features, queueSizes: [4, 4] });
    const chip = await firmware.open();
    const log = new TokenLog();
    const heard: string[] = [];
    chip.listen({
      edge: () => heard.push('edge'),
      availability: (available, reason) => heard.push(`${available}: ${reason}, ${log.list.length} answered`),
    });
    for (let line = 0; line < 4; line++) chip.getValue(line, log, line);
    chip.setValue(0, 1, log, 10);
    chip.setIrqType(1, 3, log, 11);
    chip.flush();
    return { firmware, chip, log, heard };
  }
  const ALL = ['0: 3 0', '10: 3 0', '1: 3 0', '11: 3 0', '2: 3 0', '3: 3 0'];

  it('all that is pending is answered UNAVAILABLE before the listener hears of it; later requests at once', async () => {
    const { firmware, chip, log, heard } = await busy();
    firmware.lose('stopped');
    expect([...log.taken()].sort()).toEqual([...ALL].sort());
    expect(heard).toEqual(['false: stopped, 6 answered']);
    expect(chip.available).toBe(false);
    for (const ask of [
      () => chip.getValue(0, log, 1),
      () => chip.setValue(0, 1, log, 1),
      () => chip.getDirection(0, log, 1),
      () => chip.setDirection(0, 0, log, 1),
      () => chip.setDirection(0, 1, log, 1),
      () => chip.setIrqType(0, 3, log, 1),
      () => chip.setIrqType(0, 0, log, 1),
    ]) {
      ask();
      expect(log.taken()).toEqual(['1: 3 0']);
    }
    const kicks = [...firmware.kicks];
    chip.flush();
    expect(firmware.kicks).toEqual(kicks);
    expect(chip.poll()).toBe(false);
    firmware.lose('again');
    expect(heard).toHaveLength(1);
    chip.close();
    expect(firmware.closes).toBe(1);
  });

  it.each([0, 1])(
    'a used index that jumps on vring %i ends the chip, and says so to the co-processor',
    async (index) => {
      const { firmware, chip, log, heard } = await busy();
      firmware.view.setUint16((firmware.usedOffsets[index] as number) + 2, 30_000, true);
      firmware.ring();
      expect([...log.taken()].sort()).toEqual([...ALL].sort());
      expect(firmware.failures).toEqual([expect.stringContaining('used index 30000')]);
      expect(heard).toEqual([expect.stringContaining('used index 30000')]);
      chip.close();
    },
  );

  it('close() answers what is pending, tells nobody, and closes the vdev', async () => {
    const { firmware, chip, log, heard } = await busy(F_IRQ | F_STREAM);
    chip.close();
    expect(log.taken()).toHaveLength(6);
    expect([heard, firmware.closes]).toEqual([[], 1]);
    firmware.ring();
    expect(firmware.closes).toBe(1);
  });

  it('a consumer that asks on when it is told does not disturb', async () => {
    const { firmware, chip } = await busy();
    const results: number[] = [];
    const asker = {
      complete: (token: number, result: number) => {
        results.push(result);
        if (token < 3) chip.getValue(0, asker, token + 1);
      },
    };
    chip.getValue(3, asker, 0);
    firmware.lose('stopped');
    expect(results).toEqual([3, 3, 3, 3]);
    chip.close();
  });
});

describe('notifications', () => {
  it.each([
    ['flags', F_IRQ],
    ['EVENT_IDX', F_IRQ | F_EVENT_IDX],
  ])('by %s: the firmware rings only when asked, and every answer arrives', async (_how, features) => {
    const firmware = new PlayedFirmware({ features, names: ['a', 'b', 'c', 'd'] });
    const chip = await firmware.open();
    const log = new TokenLog();
    for (let i = 0; i < 200; i++) {
      chip.getValue(i % 4, log, i);
      chip.flush();
      firmware.answerAll();
      await vi.waitUntil(() => log.list.length > 0, { timeout: 5000, interval: 1 });
      expect(log.taken()).toEqual([`${i}: 0 ${i & 1}`]);
    }
    chip.close();
  });

  it('one flush is one kick, however many requests', async () => {
    const firmware = new PlayedFirmware();
    const chip = await firmware.open();
    const log = new TokenLog();
    for (let line = 0; line < 4; line++) chip.getValue(line, log, line);
    expect(firmware.kicks).toEqual([0, 0]);
    chip.flush();
    chip.flush();
    expect(firmware.kicks).toEqual([1, 0]);
    expect(chip instanceof VirtioGpioChip && chip.counters.timeouts).toBe(0);
    chip.close();
  });
});
