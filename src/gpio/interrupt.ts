import { IRQ_BOTH, IRQ_FALLING, IRQ_LEVEL_HIGH, IRQ_LEVEL_LOW, IRQ_NONE, IRQ_RISING } from './chip.ts';

/** Whether a number is an interrupt type of virtio-gpio (virtio 1.2, section 5.18.6.7). */
export function isIrqType(type: number): boolean {
  return (type >= IRQ_NONE && type <= IRQ_LEVEL_HIGH) || type === IRQ_LEVEL_LOW;
}

/**
 * virtio-gpio's interrupt rules for one line of one consumer (virtio 1.2, section 5.18.7), apart from any transport:
 * enabled is a type other than none, unmasked is {@link armed}. Every method that may cause an interrupt returns true when
 * it is to be delivered now; delivering masks, so `armed` is false then.
 */
export class Interrupt {
  type = IRQ_NONE;
  /** Unmasked: the consumer waits for the next interrupt (a buffer lies in the event queue). */
  armed = false;
  /** An edge came while masked. */
  latched = false;

  /** Whether the type is one of the level types, which are never latched. */
  get isLevel(): boolean {
    return this.type === IRQ_LEVEL_HIGH || this.type === IRQ_LEVEL_LOW;
  }

  /** Enables. The caller has checked that it was disabled; latch and mask start empty. */
  enable(type: number): void {
    this.type = type;
    this.latched = false;
  }

  /**
   * Disables: a latched interrupt is discarded.
   * @returns true when the consumer was waiting, so that its buffer is to be given back as INVALID
   */
  disable(): boolean {
    const wasArmed = this.armed;
    this.type = IRQ_NONE;
    this.armed = false;
    this.latched = false;
    return wasArmed;
  }

  /** Unmasks, when enabled. `level` is the line's level as far as it is known (-1 otherwise). */
  arm(level: number): boolean {
    if (this.type === IRQ_NONE) return false;
    if (this.latched || this.#isActive(level)) {
      this.latched = false;
      this.armed = false;
      return true;
    }
    this.armed = true;
    return false;
  }

  /** The line changed to `level`. */
  edge(level: number): boolean {
    const type = this.type;
    if (type === IRQ_NONE) return false;
    if (this.isLevel) return this.level(level);
    if (type !== IRQ_BOTH && type !== (level === 1 ? IRQ_RISING : IRQ_FALLING)) return false;
    if (!this.armed) {
      this.latched = true;
      return false;
    }
    this.armed = false;
    return true;
  }

  /** The level became known without an edge (it was read): only level types care. */
  level(level: number): boolean {
    if (!this.armed || !this.#isActive(level)) return false;
    this.armed = false;
    return true;
  }

  #isActive(level: number): boolean {
    return (this.type === IRQ_LEVEL_HIGH && level === 1) || (this.type === IRQ_LEVEL_LOW && level === 0);
  }
}
