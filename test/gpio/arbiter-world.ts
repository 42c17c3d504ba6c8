import { expect, vi } from 'vitest';
import {
  DIRECTION_OUT,
  type Edge,
  IRQ_LEVEL_HIGH,
  IRQ_LEVEL_LOW,
  RESULT_FAILED,
  RESULT_TIMEOUT,
} from '../../src/gpio/chip.ts';
import type { Line } from '../../src/gpio/line.ts';
import type { LineConsumer, LineHandle } from '../../src/gpio/line-handle.ts';
import { DEFAULT_LINE_SETTINGS, type OnRelease, type OpenOptions } from '../../src/gpio/line-settings.ts';
import { type ScriptedBench, scripted } from './bench.ts';
import type { Request } from './scripted-chip.ts';

export const LINES = 2;
/** Longer than any debounce period and any pause before something is tried again. */
const LONG_MS = 1500;

/** Somebody with all lines, who notes what it is told. */
class Actor implements LineConsumer {
  readonly name: string;
  readonly handles: LineHandle[];
  /** Level last told, and the last edge with the situation in which it was told, by line. */
  readonly believed = new Array<number>(LINES).fill(-1);
  readonly lastEdges = new Array<{ level: number; situation: number } | null>(LINES).fill(null);
  /** Direction and owner last told, by line. */
  readonly lastChanges: [direction: number, owner: LineHandle | null][] = [];
  asked = 0;
  answered = 0;
  readonly #world: World;

  constructor(world: World, name: string, options: OpenOptions) {
    this.#world = world;
    this.name = name;
    this.handles = world.bench.lines.lines.map((line) =>
      world.bench.lines.open(line.offset, this, line.offset, options),
    );
  }

  complete(): void {
    this.answered++;
  }

  interrupt(handle: LineHandle): void {
    if (handle.interrupt.armed) throw new Error('an interrupt was delivered that is still unmasked');
  }

  edge({ index, debounceMs }: LineHandle, level: number, { merged }: Edge): void {
    const situation = this.#world.situations[index] as number;
    const last = this.lastEdges[index];
    // As long as the line stays subscribed, edges alternate; unless a read has found the other level meanwhile.
    if (this.#world.streams && last?.situation === situation && !merged && debounceMs === 0) {
      expect([1 - last.level, 1 - (this.believed[index] as number)]).toContain(level);
    }
    this.lastEdges[index] = { level, situation };
    this.believed[index] = level;
  }

  observed({ index }: LineHandle, level: number): void {
    expect(level).not.toBe(this.believed[index]);
    this.believed[index] = level;
  }

  changed({ index, line }: LineHandle): void {
    const { direction, owner } = line;
    expect([direction, owner]).not.toEqual(this.lastChanges[index]);
    this.lastChanges[index] = [direction, owner];
  }
}

/** Consumers of all sorts, a chip that answers late or not as asked, and what must hold of them. */
export class World {
  readonly streams: boolean;
  readonly bench: ScriptedBench;
  readonly actors: Actor[];
  /** Counts per line what makes edges of before and after incomparable: subscriptions, directions, losses. */
  readonly situations = new Array<number>(LINES).fill(0);
  #ownersBefore: (LineHandle | null)[] = [];
  #actor: Actor | null = null;
  /** Whether our own retries may ask for something now. */
  #retries = false;
  #failures = 0;

  constructor(streams: boolean, options: readonly OpenOptions[]) {
    this.streams = streams;
    this.bench = scripted(streams, LINES);
    this.bench.lines.learnDirections();
    this.bench.settle();
    this.actors = options.map((each, i) => new Actor(this, `c${i}`, each));
    this.bench.chip.onRequest = (request) => this.#requested(request);
    this.bench.chip.outcome = () => {
      if (this.#failures === 0) return undefined;
      this.#failures--;
      return this.#failures % 2 === 0 ? RESULT_TIMEOUT : RESULT_FAILED;
    };
  }

  /** Nobody drives but the owner, and who was it until now. */
  #requested({ what, offset, argument }: Request): void {
    if (what === 'setIrqType' || what === 'setDirection')
      this.situations[offset] = this.#situation(offset) + 1;
    const drives = what === 'setValue' || (what === 'setDirection' && argument === DIRECTION_OUT);
    if (!drives) return;
    const { owner, left } = this.#line(offset);
    const before = this.#ownersBefore[offset] ?? null;
    if (this.#actor === null) {
      // What follows from an earlier decision is still its owner's wish; or an output that was given up is tried again, or left
      // again by a chip that came back as it was left.
      if (!this.#retries && left === null) expect(owner).not.toBeNull();
    } else expect([owner?.consumer, before?.consumer]).toContain(this.#actor);
  }

  #situation(offset: number): number {
    return this.situations[offset] as number;
  }
  #line(offset: number): Line {
    return this.bench.lines.lines[offset] as Line;
  }

  /** One of them does something. */
  act(who: number, offset: number, what: string, argument: number): void {
    const actor = this.actors[who % this.actors.length] as Actor;
    const handle = actor.handles[offset] as LineHandle;
    this.#ownersBefore = this.bench.lines.lines.map(({ owner }) => owner);
    this.#actor = actor;
    const ask = () => {
      actor.asked++;
    };
    switch (what) {
      case 'value':
        ask();
        handle.setValue(argument % 2, actor, 0);
        break;
      case 'drive':
        ask();
        handle.drive(argument % 2, actor, 0);
        break;
      case 'direction':
        ask();
        handle.setDirection(argument % 3, actor, 0);
        break;
      case 'irq':
        ask();
        handle.setIrqType([0, 1, 2, 3, 4, 8][argument % 6] as number, actor, 0);
        break;
      case 'arm':
        if (!handle.interrupt.armed) handle.arm();
        break;
      case 'read':
        ask();
        handle.getValue(actor, 0);
        break;
      case 'release':
        ask();
        handle.release(actor, 0);
        break;
      case 'watch':
        this.#forget(actor, offset);
        handle.watch(!handle.watching);
        break;
      case 'reset':
        handle.reset();
        break;
      case 'suspend':
        handle.suspend();
        break;
      case 'close':
        this.#forget(actor, offset);
        handle.close();
        delete actor.lastChanges[offset];
        actor.handles[offset] = this.bench.lines.open(offset, actor, offset, { debounceMs: argument % 2 });
        break;
      case 'configure':
        handle.configure(CONFIGURATIONS[argument % CONFIGURATIONS.length] as OpenOptions);
        break;
      default:
        throw new Error(what);
    }
    this.#actor = null;
  }

  #forget(actor: Actor, offset: number): void {
    actor.believed[offset] = -1;
    actor.lastEdges[offset] = null;
  }

  /** Something happens to the chip. */
  happen(what: string, offset: number, argument: number): void {
    const { chip } = this.bench;
    this.#retries = what === 'time' || what === 'reconnect';
    switch (what) {
      case 'drive':
        chip.drive(offset, argument % 2);
        break;
      case 'serve':
        chip.serve();
        break;
      case 'answer':
        chip.deliverAnswer();
        break;
      case 'event':
        chip.deliverEvent();
        break;
      case 'time':
        // What the chip has told does not take that long.
        while (chip.deliverEvent());
        vi.advanceTimersByTime(argument);
        break;
      case 'fail':
        this.#failures = argument % 4;
        break;
      case 'reconnect':
        for (let i = 0; i < LINES; i++) this.situations[i] = this.#situation(i) + 1;
        chip.lose();
        chip.recover('reconnected');
        break;
      case 'policy':
        this.#line(offset).settings = {
          ...DEFAULT_LINE_SETTINGS,
          onRelease: (['keep', 'input', 'low', 'high'] satisfies OnRelease[])[argument % 4] as OnRelease,
        };
        break;
      default:
        throw new Error(what);
    }
    this.#retries = false;
  }

  /** What must hold at any time. */
  check(): void {
    for (const line of this.bench.lines.lines) {
      const { owner, handles } = line;
      for (const handle of handles) {
        if (handle === owner) {
          expect(handle.direction).toBe(DIRECTION_OUT);
          expect(handle.access).not.toBe('read');
          expect(handle.role).not.toBe('input');
        } else expect(handle.direction).not.toBe(DIRECTION_OUT);
        if (handle.access === 'owner' && owner !== null) expect(owner).toBe(handle);
        if (handle.role === 'output') expect(handle.usesInput).toBe(false);
      }
      if (owner !== null) expect(handles).toContain(owner);
      expect(line.watchers).toBe(handles.filter(({ watching }) => watching).length);
    }
  }

  /** What must hold when nothing is under way, and nothing was for a while. */
  checkAtRest(): void {
    this.#failures = 0;
    this.#retries = true;
    this.#calm();
    // What the chip refused is asked for again when the situation is another one.
    const isRefused = this.actors.some(({ handles }) => handles.some((handle) => handle.isRefused));
    if (isRefused) {
      this.happen('reconnect', 0, 0);
      this.#retries = true;
      this.#calm();
    }
    this.#retries = false;
    this.check();
    expect(vi.getTimerCount()).toBe(0);
    for (const actor of this.actors) {
      expect(actor.answered).toBe(actor.asked);
      for (const handle of actor.handles) this.#checkAtRest(actor, handle);
    }
  }

  /** Nothing fails, and nothing happens for long. */
  #calm(): void {
    for (let i = 0; i < 6; i++) {
      this.bench.settle();
      vi.advanceTimersByTime(LONG_MS);
    }
    this.bench.settle();
  }

  #checkAtRest(actor: Actor, handle: LineHandle): void {
    const { line, interrupt } = handle;
    const level = this.bench.level(line.offset);
    expect([line.pending, line.making]).toEqual([0, null]);
    if (line.owner !== null) expect(this.bench.chip.direction(line.offset)).toBe(DIRECTION_OUT);
    if (handle.watching) expect(actor.believed[line.offset]).toBe(level);
    if (handle.watching && handle.debounce !== null && line.direction !== DIRECTION_OUT)
      expect(handle.debounce.level).toBe(level);
    if (interrupt.armed && line.direction !== DIRECTION_OUT) {
      if (interrupt.type === IRQ_LEVEL_HIGH) expect(level).toBe(0);
      if (interrupt.type === IRQ_LEVEL_LOW) expect(level).toBe(1);
    }
  }

  close(): void {
    this.#retries = true;
    for (const actor of this.actors) for (const handle of actor.handles) handle.close();
    this.bench.settle();
  }
}

const CONFIGURATIONS: readonly OpenOptions[] = [
  {},
  { access: 'read' },
  { role: 'input' },
  { role: 'output' },
  { debounceMs: 5 },
  { debounceMs: 20 },
  { access: 'read', debounceMs: 5 },
];
