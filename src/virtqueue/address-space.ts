/**
 * Memory that is shared with another side (guest or co-processor), found by the other side's addresses.
 *
 * Shared memory is touched only in aligned 8/16/32-bit elements: device memory on Arm faults on unaligned and
 * vector accesses, so no DataView, `set`, `slice` or `Buffer.copy` here or in any user of this file.
 */

/** One mapping: `sizeBytes` from `address` on (the other side's) lie in `buffer` from `byteOffset` on. */
export class MemoryWindow {
  readonly address: number;
  readonly end: number;
  readonly sizeBytes: number;
  readonly byteOffset: number;
  readonly u8: Uint8Array;
  readonly u16: Uint16Array;
  readonly u32: Uint32Array;

  constructor(address: number, buffer: ArrayBufferLike, byteOffset: number, sizeBytes: number) {
    this.address = address;
    this.sizeBytes = sizeBytes;
    this.end = address + sizeBytes;
    this.byteOffset = byteOffset;
    this.u8 = new Uint8Array(buffer);
    this.u16 = new Uint16Array(buffer, 0, buffer.byteLength >>> 1);
    this.u32 = new Uint32Array(buffer, 0, buffer.byteLength >>> 2);
  }
}

/** An address range is not (wholly) in the shared memory, or badly aligned. */
export class AddressError extends Error {
  readonly code = 'ERR_ADDRESS';
  constructor(what: string, address: number, sizeBytes: number, expected: string) {
    super(`${what}: 0x${address.toString(16)} + ${sizeBytes} bytes ${expected}`);
    this.name = 'AddressError';
  }
}

/**
 * The windows through which one other side's memory is seen. Look-ups allocate nothing: {@link find} returns the window,
 * {@link offset} then holds the byte offset in its arrays.
 */
export class AddressSpace {
  /** Byte offset of the last address that {@link find} found, in the arrays of the window it returned. */
  offset = 0;
  #windows: MemoryWindow[] = [];
  #last: MemoryWindow | null = null;

  /** The windows, in the order of their addresses. */
  get windows(): readonly MemoryWindow[] {
    return this.#windows;
  }

  /**
   * Adds a mapping. Windows may overlap when they show the same memory (big regions are mapped in overlapping windows,
   * so that a ring never crosses an edge); the first one in address order that holds a range serves it.
   */
  add(
    address: number,
    buffer: ArrayBufferLike,
    byteOffset = 0,
    sizeBytes = buffer.byteLength - byteOffset,
  ): MemoryWindow {
    const window = new MemoryWindow(address, buffer, byteOffset, sizeBytes);
    this.#windows.push(window);
    this.#windows.sort((a, b) => a.address - b.address);
    return window;
  }

  /** Takes a window out again. */
  remove(window: MemoryWindow): void {
    this.#windows = this.#windows.filter((other) => other !== window);
    this.#last = null;
  }

  clear(): void {
    this.#windows = [];
    this.#last = null;
  }

  /**
   * The window that holds all `sizeBytes` from `address` on, or null; sets {@link offset}. With `sizeBytes` 1 it finds the
   * window of one address.
   */
  find(address: number, sizeBytes: number): MemoryWindow | null {
    const last = this.#last;
    if (last !== null && address >= last.address && address + sizeBytes <= last.end) {
      this.offset = address - last.address + last.byteOffset;
      return last;
    }
    for (let i = 0; i < this.#windows.length; i++) {
      const window = this.#windows[i] as MemoryWindow;
      if (address >= window.address && address + sizeBytes <= window.end) {
        this.#last = window;
        this.offset = address - window.address + window.byteOffset;
        return window;
      }
    }
    return null;
  }

  /**
   * As {@link find}, for control paths: throws instead of returning null.
   * @throws AddressError when the range is not in one window or `address` is not a multiple of `align`
   */
  require(what: string, address: number, sizeBytes: number, align: number): MemoryWindow {
    const window = this.find(address, sizeBytes);
    if (window === null) {
      const ranges = this.#windows
        .map((w) => `0x${w.address.toString(16)}-0x${(w.end - 1).toString(16)}`)
        .join(', ');
      throw new AddressError(
        what,
        address,
        sizeBytes,
        `is not inside the shared memory (${ranges || 'none'})`,
      );
    }
    if (this.offset % align !== 0 || address % align !== 0) {
      throw new AddressError(what, address, sizeBytes, `is not aligned to ${align} bytes`);
    }
    return window;
  }
}
