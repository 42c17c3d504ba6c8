import { describe, expect, it } from 'vitest';
import { Interrupt, isIrqType } from '../../src/gpio/interrupt.ts';

/** virtio-gpio's interrupt types by number (virtio 1.2, section 5.18.6.7), and what each is about. */
const TYPES = [
  { type: 0, rising: false, falling: false, active: undefined },
  { type: 1, rising: true, falling: false, active: undefined },
  { type: 2, rising: false, falling: true, active: undefined },
  { type: 3, rising: true, falling: true, active: undefined },
  { type: 4, rising: false, falling: false, active: 1 },
  { type: 8, rising: false, falling: false, active: 0 },
] as const;

interface State {
  readonly type: number;
  readonly armed: boolean;
  readonly latched: boolean;
}

function interrupt({ type, armed, latched }: State): Interrupt {
  const result = new Interrupt();
  result.type = type;
  result.armed = armed;
  result.latched = latched;
  return result;
}

function state({ type, armed, latched }: Interrupt): State {
  return { type, armed, latched };
}

/** All states that there can be: nothing is armed or latched while disabled, levels are never latched. */
const STATES = TYPES.flatMap((about) =>
  [false, true].flatMap((armed) =>
    [false, true]
      .filter((latched) => !(armed && latched))
      .filter((latched) => !latched || about.rising || about.falling)
      .filter((latched) => about.type !== 0 || (!armed && !latched))
      .map((latched) => ({ ...about, armed, latched })),
  ),
);

const named = STATES.map(
  (s) => [`type ${s.type}${s.armed ? ' armed' : ''}${s.latched ? ' latched' : ''}`, s] as const,
);

describe('Interrupt', () => {
  it('has 14 states', () => {
    expect(STATES).toHaveLength(14);
  });

  it('knows the types', () => {
    const known = Array.from({ length: 20 }, (_, type) => type).filter(isIrqType);
    expect(known).toEqual([0, 1, 2, 3, 4, 8]);
    expect([-1, 12, 0x10000].some(isIrqType)).toBe(false);
    for (const { type, active } of TYPES) {
      expect(interrupt({ type, armed: false, latched: false }).isLevel).toBe(active !== undefined);
    }
  });

  it.each(named)('%s: an edge', (_name, s) => {
    for (const level of [0, 1]) {
      const it = interrupt(s);
      const due = it.edge(level);
      const matches = level === 1 ? s.rising : s.falling;
      const active = s.active === level;
      // Unmasked: delivered and masked. Masked: edges are latched, levels are not.
      expect(due).toBe(s.armed && (matches || active));
      expect(state(it)).toEqual({
        type: s.type,
        armed: s.armed && !due,
        latched: s.latched || (matches && !s.armed),
      });
    }
  });

  it.each(named)('%s: a level that was read', (_name, s) => {
    for (const level of [0, 1]) {
      const it = interrupt(s);
      const due = it.level(level);
      expect(due).toBe(s.armed && s.active === level);
      expect(state(it)).toEqual({ type: s.type, armed: s.armed && !due, latched: s.latched });
    }
  });

  it.each(named)('%s: unmasked', (_name, s) => {
    for (const level of [-1, 0, 1]) {
      const it = interrupt(s);
      const due = it.arm(level);
      expect(due).toBe(s.latched || s.active === level);
      expect(state(it)).toEqual({ type: s.type, armed: !due && s.type !== 0, latched: false });
    }
  });

  it.each(named)('%s: disabled', (_name, s) => {
    const it = interrupt(s);
    expect(it.disable()).toBe(s.armed);
    expect(state(it)).toEqual({ type: 0, armed: false, latched: false });
  });

  it('is enabled masked and without a latch', () => {
    const it = new Interrupt();
    it.enable(3);
    expect(state(it)).toEqual({ type: 3, armed: false, latched: false });
  });

  it('a level goes on notifying as long as it is active and unmasked again', () => {
    const it = interrupt({ type: 4, armed: false, latched: false });
    expect([it.arm(1), it.arm(1), it.arm(1), it.arm(0)]).toEqual([true, true, true, false]);
    expect([it.level(0), it.edge(0), it.edge(1), it.armed]).toEqual([false, false, true, false]);
  });

  it('edges while masked are latched into one', () => {
    const it = interrupt({ type: 1, armed: false, latched: false });
    expect([it.edge(1), it.edge(0), it.edge(1)]).toEqual([false, false, false]);
    expect([it.arm(1), it.arm(1)]).toEqual([true, false]);
  });
});
