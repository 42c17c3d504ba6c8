import type { FuzzTarget } from '../target.ts';

/** All targets in TypeScript, in the order in which they run. */
export const TARGETS: readonly FuzzTarget[] = [];
