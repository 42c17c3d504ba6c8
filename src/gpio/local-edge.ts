import type { Edge } from './chip.ts';

/** `performance.now()` counts from here on CLOCK_MONOTONIC: one clock for all, without a bigint an edge. */
const ORIGIN_NS = Number(process.hrtime.bigint()) - performance.now() * 1e6;

/** CLOCK_MONOTONIC in nanoseconds, as a double: exact to a nanosecond in the first 104 days of uptime, to two after. */
export function monotonicNs(): number {
  return ORIGIN_NS + performance.now() * 1e6;
}

/** An edge of which this host took the time. One object for all: see {@link Edge}. */
export class LocalEdge implements Edge {
  offset = 0;
  level = 0;
  seq = 0;
  merged = false;
  /** CLOCK_MONOTONIC in nanoseconds, as a double. */
  timeNs = 0;

  get timestampNs(): bigint {
    return BigInt(Math.round(this.timeNs));
  }

  /** Fills it for an edge now. */
  at(offset: number, level: number): this {
    this.offset = offset;
    this.level = level;
    this.seq = 0;
    this.merged = false;
    this.timeNs = monotonicNs();
    return this;
  }

  /** Fills it with another edge, whose object is about to be used for the next one. */
  copy(edge: Edge): this {
    this.offset = edge.offset;
    this.level = edge.level;
    this.seq = edge.seq;
    this.merged = edge.merged;
    this.timeNs = edge instanceof LocalEdge ? edge.timeNs : Number(edge.timestampNs);
    return this;
  }
}
