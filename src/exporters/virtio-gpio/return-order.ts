import type { DescriptorChain } from '../../virtqueue/descriptor-chain.ts';
import type { DeviceQueue } from '../../virtqueue/device-queue.ts';

/**
 * The order in which the chains of a ring go back. Where what is in flight is tracked (INFLIGHT_SHMFD), as they are answered.
 * Where it is not, all that a front-end knows after this process has died is the used index, and it lets the next one begin there
 * (QEMU): so chains go back in the order of the available ring, an answered one waits for those before it, and the entries from the
 * used index on are exactly the ones that are still open (vhost-user.rst, "Inflight I/O tracking").
 */
export class ReturnOrder {
  #queue: DeviceQueue | null = null;
  #inOrder = false;
  /** Chains that are not back, oldest first: a ring of the queue's size. */
  #chains: (DescriptorChain | undefined)[] = [];
  /** Used length of an answered chain, by its head; -1 = not answered. */
  #usedBytes = new Float64Array(0);
  #first = 0;
  #end = 0;
  #mask = 0;

  /** Begins with another ring; nothing of the old one goes back any more. */
  setQueue(queue: DeviceQueue | null): void {
    // A ring that is served again with nothing under way (each reset) keeps its arrays.
    if (queue !== this.#queue) {
      this.#inOrder = queue !== null && !queue.isTracked;
      const size = this.#inOrder && queue !== null ? queue.size : 0;
      this.#chains = new Array(size);
      this.#usedBytes = new Float64Array(size);
      this.#mask = size - 1;
    }
    this.#queue = queue;
    this.#first = 0;
    this.#end = 0;
  }

  taken(chain: DescriptorChain): void {
    if (!this.#inOrder) return;
    this.#usedBytes[chain.head] = -1;
    this.#chains[this.#end & this.#mask] = chain;
    this.#end = (this.#end + 1) >>> 0;
  }

  /** Hands the chain back, now or after those before it. */
  answered(chain: DescriptorChain, usedBytes: number): void {
    const queue = this.#queue;
    if (queue === null) return;
    if (!this.#inOrder) return queue.push(chain, usedBytes);
    if (this.#chains[this.#first & this.#mask] !== chain) {
      this.#usedBytes[chain.head] = usedBytes;
      return;
    }
    queue.push(chain, usedBytes);
    for (;;) {
      this.#first = (this.#first + 1) >>> 0;
      if (this.#first === this.#end) return;
      const next = this.#chains[this.#first & this.#mask] as DescriptorChain;
      const answeredBytes = this.#usedBytes[next.head] as number;
      if (answeredBytes < 0) return;
      queue.push(next, answeredBytes);
    }
  }
}
