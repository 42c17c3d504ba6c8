/** Said to a doorbell's listener when the means cannot tell which vring is meant. */
export const ANY_NOTIFY_ID = -1;

/**
 * The physical means of telling the co-processor "look at your vrings" (a kick), and of being told so (a call).
 * Whoever opened it closes it.
 */
export interface Doorbell {
  /**
   * Kicks. Allocates nothing, never blocks, never throws; a means that is full for now sends it later.
   * @param notifyId the vring's `notifyid`, or the vdev's for a change of its status
   */
  ring(notifyId: number): void;
  /**
   * Starts to listen.
   * @param listener gets the `notifyid` that was said, or {@link ANY_NOTIFY_ID}
   * @param onLost is told once when the means broke down for good
   * @throws CoprocessorError ERR_DOORBELL
   */
  open(listener: (notifyId: number) => void, onLost?: (reason: string) => void): void | Promise<void>;
  /** Does not listen until {@link resume}; ringing goes on. Absent where that is of no use. */
  pause?(): void;
  /** Listens again. What rang meanwhile may be told or not: the caller looks for itself. */
  resume?(): void;
  /** What a firmware process inherits: the descriptors for kicks and for calls, or nothing. */
  readonly inheritedFds: readonly number[];
  /** No call ever comes: the listener is run at an interval, also when idle. */
  readonly isPolled: boolean;
  /** The largest `notifyid` that can be said. */
  readonly maxNotifyId: number;
  /** Idempotent. */
  close(): void;
}

/** How a register write says a `notifyid`. */
export type KickEncoding =
  /** The id itself. */
  | 'id'
  /** `id << 16`, as the messaging unit of i.MX has it. */
  | 'id-shifted-16'
  /** `1 << id`: a bit or channel a vring, as on STM32. */
  | 'bit'
  /** Always the same value. */
  | 'constant';

/** A pair of eventfds that firmware started by us inherits. */
export interface EventfdDoorbellOptions {
  readonly type: 'eventfd';
}

/** A Unix stream socket: one byte is the `notifyid`, both ways (the serial port of an emulator). */
export interface SocketDoorbellOptions {
  readonly type: 'socket';
  readonly path: string;
}

/** A UIO device: its interrupt is the call, a register is the kick. */
export interface UioDoorbellOptions {
  readonly type: 'uio';
  /** `/dev/uio0`, or its name. */
  readonly device: string;
  /** Memory area that the register is in; 0 unless given. */
  readonly map?: number | undefined;
  /** Of the register in the memory area, in bytes: a multiple of 4. */
  readonly offset: number;
  /** `id` unless given. */
  readonly encoding?: KickEncoding | undefined;
  /** What is written with the encoding `constant`; 1 unless given. */
  readonly value?: number | undefined;
}

/** No doorbell at all: both sides look from time to time. */
export interface PollDoorbellOptions {
  readonly type: 'poll';
  /** 10 unless given. */
  readonly intervalMs?: number | undefined;
}

export type DoorbellOptions =
  | EventfdDoorbellOptions
  | SocketDoorbellOptions
  | UioDoorbellOptions
  | PollDoorbellOptions;
