/** Rings in a row without anything to do until the doorbell is not listened to for a while. */
const PATIENCE = 256;
/** After a pause: it has not changed yet. */
const PATIENCE_AFTER_PAUSE = 4;
/** How long it is not listened to then. What comes meanwhile is found at the end of it. */
export const PAUSE_MS = 10;

/**
 * Tells a doorbell that rings without cause from one that announces work. Drivers and devices ring too often by nature (the other
 * side was still polling when they looked), but not hundreds of times for nothing: each ring wakes this process up. Such a
 * doorbell is looked after every {@link PAUSE_MS} only, until there is something to do again. It delays nobody but who rings it.
 */
export class NeedlessRings {
  /** Rings with nothing new since the one before. */
  needless = 0;
  /** Pauses so far. */
  pauses = 0;
  #inARow = 0;
  #patience = PATIENCE;

  /**
   * The doorbell rang.
   * @param hadWork whether something was taken from its rings since it rang last
   * @returns whether not to listen to it for {@link PAUSE_MS}
   */
  rang(hadWork: boolean): boolean {
    if (hadWork) {
      this.#inARow = 0;
      this.#patience = PATIENCE;
      return false;
    }
    this.needless++;
    if (++this.#inARow < this.#patience) return false;
    this.pauses++;
    this.#inARow = 0;
    this.#patience = PATIENCE_AFTER_PAUSE;
    return true;
  }
}
