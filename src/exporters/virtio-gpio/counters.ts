/** What happened on an exported device. Every drop and every refusal has a reason under which it is counted. */
export class DeviceCounters {
  requests = 0;
  /** Requests answered ERR. */
  errors = 0;
  interrupts = 0;
  /** Event buffers given back as INVALID. */
  invalidEvents = 0;
  /** Chains that could not be taken for a message, by reason: of DeviceQueue, and the ones of the messages. */
  readonly badChains: Record<string, number> = {};
  readonly #onFirst: (reason: string) => void;

  constructor(onFirst: (reason: string) => void) {
    this.#onFirst = onFirst;
  }

  bad(reason: string, count = 1): void {
    const before = this.badChains[reason] ?? 0;
    this.badChains[reason] = before + count;
    if (before === 0) this.#onFirst(reason);
  }
}
