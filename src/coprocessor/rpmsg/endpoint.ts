/** One rpmsg channel's endpoint: messages to and from one address of the co-processor, whoever owns the vrings. */
export interface RpmsgEndpoint {
  /** Name of the channel. */
  readonly name: string;
  /** Longest message in bytes (496 with 512-byte buffers). */
  readonly maxPayloadBytes: number;
  /** Sends a message; copies it. false = the bounded send queue is full (counted): nothing was sent. */
  send(payload: Uint8Array): boolean;
  /** The listener's bytes are valid during the call only (a private copy, never shared memory). */
  onMessage(listener: (payload: Uint8Array) => void): void;
  /** Told once: the channel was destroyed, its bus or device is gone. */
  onGone(listener: (reason: string) => void): void;
  close(): void;
}

/** Where channels come from: our rpmsg bus on a vdev of id 7, or the kernel's /dev/rpmsg*. */
export interface RpmsgTransport {
  /**
   * Resolves with an endpoint of the first channel whose name matches; channels that were announced already count.
   * @throws CoprocessorError ERR_RPMSG after timeoutMs (as a rejection), naming the channels that there are
   */
  open(channel: string | RegExp, timeoutMs: number): Promise<RpmsgEndpoint>;
  /** Channels announced now. */
  readonly channels: readonly string[];
  readonly counters: Readonly<Record<string, number>>;
  onLost(listener: (reason: string) => void): void;
  close(): void;
}
