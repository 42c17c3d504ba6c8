/** Owners of processes and files, closed in reverse order of their opening, all of them whatever happens. */
export class Resources {
  readonly #owners: { close(): void | Promise<void> }[] = [];

  add<T extends { close(): void | Promise<void> }>(owner: T): T {
    this.#owners.push(owner);
    return owner;
  }

  /** Idempotent. @throws AggregateError with what the owners threw */
  async close(): Promise<void> {
    const errors: unknown[] = [];
    for (let owner = this.#owners.pop(); owner; owner = this.#owners.pop()) {
      try {
        await owner.close();
      } catch (error) {
        errors.push(error);
      }
    }
    if (errors.length > 0) throw new AggregateError(errors, 'closing the lab failed');
  }
}
