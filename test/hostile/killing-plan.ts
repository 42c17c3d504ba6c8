import type { SeededRandom } from './killing-random.ts';

export type PartyName = 'firmware' | 'vm1' | 'vm2' | 'broker' | 'service';

/** What is done to one party. */
export interface Blow {
  readonly party: PartyName;
  /** After the blow before. */
  readonly pauseMs: number;
  readonly kind: 'kill' | 'freeze';
  /** Until it goes on, or is started again; firmware is started again by the service. */
  readonly lastsMs: number;
  /** How long after that it is killed once more; null: it is not. */
  readonly startKillMs: number | null;
}

/** One round: traffic, blows, traffic; then everybody has to agree. */
export interface Round {
  /** `full`: levels change; `read`: none does, so nobody may hear of any. */
  readonly traffic: 'full' | 'read';
  readonly blows: readonly Blow[];
  readonly tailMs: number;
}

const LONGEST_FREEZE_MS: Readonly<Record<PartyName, number>> = {
  // Long enough to be taken for hung and to be killed by the service.
  firmware: 5000,
  vm1: 2000,
  vm2: 2000,
  broker: 3000,
  service: 1000,
};

function blow(random: SeededRandom, party: PartyName, longestPauseMs: number): Blow {
  const kind = random.chance(0.25) ? 'freeze' : 'kill';
  const longestMs = kind === 'freeze' ? LONGEST_FREEZE_MS[party] : 400;
  // Half of all at once, or after a short time: the others have not noticed yet.
  const pauseMs = random.chance(0.3) ? 0 : random.whole(0, longestPauseMs);
  const lastsMs = random.chance(0.2) ? 0 : random.whole(0, longestMs);
  const startKillMs = kind === 'kill' && random.chance(0.25) ? random.whole(0, 700) : null;
  return { party, pauseMs, kind, lastsMs, startKillMs };
}

/** @param parties whom it may hit */
export function planRound(random: SeededRandom, parties: readonly PartyName[]): Round {
  const traffic = random.chance(0.25) ? 'read' : 'full';
  const how = random.next();
  const count = how < 0.5 ? 1 : how < 0.8 ? 2 : how < 0.9 ? 3 : parties.length;
  const left = [...parties];
  const blows: Blow[] = [];
  while (blows.length < count && left.length > 0) {
    const [party] = left.splice(random.whole(0, left.length - 1), 1);
    if (party === undefined) break;
    blows.push(blow(random, party, blows.length === 0 ? 700 : 150));
  }
  return { traffic, blows, tailMs: random.whole(50, 700) };
}

export function roundText({ traffic, blows, tailMs }: Round): string {
  const each = blows.map(
    ({ party, pauseMs, kind, lastsMs, startKillMs }) =>
      `after ${pauseMs} ms ${kind} ${party} for ${lastsMs} ms${startKillMs === null ? '' : `, again after ${startKillMs} ms`}`,
  );
  return `${traffic}: ${each.join('; ')}; ${tailMs} ms`;
}
