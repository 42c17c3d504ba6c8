/** Requests and interrupts of one guest on simulated lines, idleness, and the demo. */
import type { Part, PartContext, PartResult } from './part.ts';
import { Started } from './part.ts';
import { figuresOf } from './report.ts';
import { measureRounds } from './rounds.ts';
import { startBackEnd, startYardstick } from './service.ts';
import { measureDemo, measureIdle } from './standing.ts';

const LINES = 32;

async function measure({ effort, placement, progress }: PartContext): Promise<PartResult> {
  const started = new Started();
  try {
    const backEnd = await started.add(startBackEnd(LINES, placement.serviceCpu));
    const unpolled = await started.add(startBackEnd(LINES, placement.serviceCpu, ['--poll-us=0']));
    const yardstick = await started.add(startYardstick(LINES, placement.serviceCpu));
    const rounds = await measureRounds({ backEnd, unpolled, yardstick }, effort, placement, progress);
    progress(`idle: settling for ${effort.settleSeconds} s`);
    const idle = await measureIdle(backEnd, effort.settleSeconds, effort.idleSeconds);
    progress('demo');
    const demo = await measureDemo();
    return { figures: figuresOf(rounds, idle, demo), raw: { rounds, idle, demo } };
  } finally {
    await started.close();
  }
}

export const guestPart: Part = { name: 'guest', measure };
