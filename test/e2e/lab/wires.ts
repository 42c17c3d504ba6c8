/** The electrical side of a co-processor under test: what a logic analyser and a signal generator would be. */
export interface Wires {
  /** Drives an input from outside. */
  set(name: string, level: 0 | 1): Promise<void>;
  /** Resolves when the wire has the level. @throws WaitError */
  waitForLevel(name: string, level: 0 | 1): Promise<void>;
}
