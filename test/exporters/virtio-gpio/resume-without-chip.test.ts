import { describe, expect, it } from 'vitest';
import { ResumeState } from '../../../src/exporters/virtio-gpio/resume-state.ts';
import {
  DIRECTION_IN,
  DIRECTION_OUT,
  IRQ_BOTH,
  RESULT_FAILED,
  RESULT_TIMEOUT,
} from '../../../src/gpio/chip.ts';
import type { GpioEvent } from '../../../src/testing/front-end.ts';
import {
  EVENT_VALID,
  MSG_GET_DIRECTION,
  MSG_SET_DIRECTION,
  MSG_SET_IRQ_TYPE,
  MSG_SET_VALUE,
} from '../../../src/wire/virtio-gpio.ts';
import { type Request, ScriptedChip } from '../../gpio/scripted-chip.ts';
import { serveChip, until } from './served-device.ts';

const OUTPUT = 0;
const INPUT = 1;
const HELD = 2;

/** A chip that answers by itself, unless told not to. */
function answeringChip(): ScriptedChip & { isSilent?: boolean } {
  const chip: ScriptedChip & { isSilent?: boolean } = new ScriptedChip(4, { streams: true });
  chip.onRequest = () => {
    setImmediate(() => chip.isSilent || chip.settle());
  };
  return chip;
}

/**
 * A guest with an output at 1, an armed input and a value held for another line, whose service is replaced by another one with a chip
 * of its own. `meanwhile` is done to that before the guest is there again.
 */
async function replaced(meanwhile: (chip: ScriptedChip & { isSilent?: boolean }) => void) {
  const resumeState = new ResumeState(4, 1);
  const before = serveChip(answeringChip(), { resumeState });
  const guest = await before.served.connect();
  const events: GpioEvent[] = [];
  guest.onEvent((event) => events.push(event));
  await guest.request(MSG_SET_VALUE, OUTPUT, 1);
  await guest.request(MSG_SET_DIRECTION, OUTPUT, DIRECTION_OUT);
  await guest.request(MSG_SET_DIRECTION, INPUT, DIRECTION_IN);
  await guest.request(MSG_SET_IRQ_TYPE, INPUT, IRQ_BOTH);
  await guest.request(MSG_SET_VALUE, HELD, 1);
  guest.queueEvent(INPUT);
  before.served.server.close();
  await guest.disconnected();
  const chip = answeringChip();
  const { socketPath } = before.served;
  const after = serveChip(chip, { resumeState, socketPath });
  meanwhile(chip);
  await guest.reconnect('keep');
  return { ...after, chip, guest, events, resumeState };
}

/** All is as the guest had it. */
async function expectItsOwn({ chip, lines, guest, events, served }: Awaited<ReturnType<typeof replaced>>) {
  await until(() => chip.direction(OUTPUT) === DIRECTION_OUT && chip.irqType(INPUT) === IRQ_BOTH);
  expect([chip.level(OUTPUT), chip.direction(INPUT)]).toEqual([1, DIRECTION_IN]);
  expect(lines.lines[OUTPUT]!.ownerName).toBe('guest vm1');
  expect((await guest.request(MSG_GET_DIRECTION, OUTPUT)).value).toBe(DIRECTION_OUT);
  chip.drive(INPUT, 1);
  chip.settle();
  await until(() => events.length === 1);
  expect(events[0]).toMatchObject({ gpio: INPUT, status: EVENT_VALID });
  await guest.request(MSG_SET_DIRECTION, HELD, DIRECTION_OUT);
  expect(chip.level(HELD)).toBe(1);
  expect(served.logged('warn')).toEqual([]);
}

describe('what a guest had set when its service was replaced', () => {
  it('is set as soon as a chip that was away then is back', async () => {
    const s = await replaced((chip) => chip.lose());
    // As with any chip that is away: an error at once, and nothing of it is kept.
    expect((await s.guest.request(MSG_SET_VALUE, OUTPUT, 0)).status).toBe(1);
    expect((await s.guest.request(MSG_SET_DIRECTION, 3, DIRECTION_OUT)).status).toBe(1);
    expect(s.resumeState.line(OUTPUT)).toEqual({ direction: DIRECTION_OUT, irqType: 0, level: 1 });
    expect(s.resumeState.line(INPUT)).toMatchObject({ direction: DIRECTION_IN, irqType: IRQ_BOTH });
    s.chip.recover();
    await expectItsOwn(s);
  });

  it.each([0, 1, 2, 3, 4, 5, 6])('is set although the chip goes away after %i answers', async (answers) => {
    const s = await replaced((chip) => {
      chip.isSilent = true;
    });
    await until(() => s.chip.requests.length > 0);
    for (let i = 0; i < answers; i++) {
      s.chip.serve();
      s.chip.deliverAnswer();
    }
    s.chip.lose();
    s.chip.isSilent = false;
    s.chip.recover();
    await expectItsOwn(s);
  });

  it('is set by a chip that is being brought back', async () => {
    const s = await replaced((chip) => {
      chip.isSilent = true;
      chip.lose();
      chip.recover();
    });
    s.chip.isSilent = false;
    s.chip.settle();
    await expectItsOwn(s);
  });

  it.each(['setValue', 'setDirection', 'setIrqType'])('is tried until a chip answers %s', async (what) => {
    let times = 0;
    const s = await replaced((chip) => {
      chip.outcome = (request: Request) => {
        if (request.what !== what || times === 2) return undefined;
        times++;
        return RESULT_TIMEOUT;
      };
    });
    await expectItsOwn(s);
    expect(times).toBe(2);
  });

  it('is given up, and told of, where the chip refuses it', async () => {
    const s = await replaced((chip) => {
      chip.outcome = ({ what }) => (what === 'setValue' ? RESULT_FAILED : undefined);
    });
    await until(() => s.served.logged('warn').length > 0);
    expect(s.served.logged('warn')).toEqual(['warn: guest vm1: line 0 could not be set again as it was']);
    expect(s.lines.lines[OUTPUT]!.ownerName).toBeNull();
  });

  it('is nobody’s any more once the driver starts anew', async () => {
    const s = await replaced((chip) => chip.lose());
    s.guest.disconnect();
    await until(() => !s.served.server.connected);
    await s.guest.reconnect('restart');
    s.chip.recover();
    expect((await s.guest.request(MSG_GET_DIRECTION, OUTPUT)).status).toBe(0);
    // As its last owner left it, which is what `onRelease: keep` says.
    expect([s.chip.direction(OUTPUT), s.lines.lines[OUTPUT]!.ownerName]).toEqual([DIRECTION_OUT, null]);
    expect(s.chip.irqType(INPUT)).toBe(0);
  });
});
