/**
 * The control protocol, version 1: newline-delimited JSON over a Unix stream socket (docs/control.md). Types and bounds, shared
 * by the service and its clients; the codecs are in control-request.ts and control-reply.ts.
 *
 * Levels are logical: 1 is active, after the line's `activeLow`.
 */

/** What a service greets with, and what a client must speak. */
export const CONTROL_PROTOCOL = 1;
/** The service's name in its greeting. */
export const CONTROL_SERVICE = 'rproc-gpio';
/** Longest request, without its newline. */
export const MAX_REQUEST_BYTES = 65_536;
/** Most lines that one request may name. */
export const MAX_REQUEST_LINES = 4096;
/** Longest pulse: an hour. */
export const MAX_PULSE_MS = 3_600_000;
/** Longest line reference, in UTF-16 units. */
export const MAX_REFERENCE_LENGTH = 512;

/** Direction of a line for people. `unknown`: never seen. */
export type DirectionName = 'in' | 'out' | 'none' | 'unknown';
/** Which level changes are wanted. */
export type EdgeChoice = 'both' | 'rising' | 'falling';

/**
 * What a {@link ControlFailure} or a refused {@link LineOutcome} says to a program.
 * `ERR_REQUEST` malformed, `ERR_LINE` no such line (or several), `ERR_BUSY` another consumer owns the line, `ERR_REFUSED` by
 * configuration, `ERR_UNAVAILABLE` the chip is gone, `ERR_TIMEOUT` it did not answer, `ERR_INVALID` not in the line's state,
 * `ERR_FAILED` the chip answered with an error, `ERR_LIMIT` a bound of the protocol, `ERR_CONFIG` a reload's file,
 * `ERR_CLOSED` the service ends.
 */
export type ControlCode = `ERR_${string}`;

export interface ChipInfo {
  readonly name: string;
  /** What kind of chip it is: `virtio-gpio on hub`, `simulated`. */
  readonly label: string;
  readonly lineCount: number;
  readonly available: boolean;
}

export interface LineInfo {
  readonly chip: string;
  readonly offset: number;
  /** '' for a line without a name. */
  readonly name: string;
  readonly direction: DirectionName;
  /** Last level known; null when none is. `get` asks the chip. */
  readonly level: 0 | 1 | null;
  readonly activeLow: boolean;
  /** Who may drive it, as in `guest vm1`. */
  readonly owner: string | null;
  /** Everybody who drives it, or waits for its edges. */
  readonly users: readonly string[];
  readonly debounceMs: number;
  /** Level changes since the service started. */
  readonly edges: number;
  /** Whether its chip is there. */
  readonly available: boolean;
}

/** What became of an operation on one line. */
export interface LineOutcome {
  /** `CHIP/NAME`, or `CHIP/#OFFSET` for a line without a name. */
  readonly line: string;
  readonly chip: string;
  readonly offset: number;
  readonly name: string;
  readonly ok: boolean;
  /** The level that the chip confirmed; null when it is not known. */
  readonly level: 0 | 1 | null;
  /** When it is not ok: why, for a program. */
  readonly code?: ControlCode;
  /** When it is not ok: why, as in `busy: owned by guest vm1`. */
  readonly reason?: string;
}

/** One level change. */
export interface LineEdge {
  readonly chip: string;
  readonly offset: number;
  readonly name: string;
  readonly edge: 'rising' | 'falling';
  /** The level after it. */
  readonly level: 0 | 1;
  /** Counts the edges of this line since the service started: a gap is a drop. */
  readonly seq: number;
  /** CLOCK_MONOTONIC of the host, in nanoseconds, decimal. */
  readonly timestampNs: string;
  /** Earlier changes were merged into this one by the chip. */
  readonly merged?: boolean;
  readonly direction: 'in' | 'out';
}

/** What a peer had too much of: connections that were closed, doorbells that were not listened to, by reason (docs/limits.md). */
export type Limits = Readonly<Record<string, number>>;

export interface MqttStatus {
  /** `embedded`, or the URL without its user info. */
  readonly broker: string;
  readonly connected: boolean;
  /** Why it is not. */
  readonly reason?: string;
  readonly counters: {
    readonly published: number;
    readonly eventsDropped: number;
    readonly commands: number;
    readonly refusedCommands: number;
    readonly badCommands: number;
    readonly ignoredRetained: number;
    /** What the broker did not take from us (its access rules; MQTT 5 says so). */
    readonly refusedPublications: number;
    readonly reconnects: number;
  };
  /** {@link Limits}, of the embedded broker; absent without one. */
  readonly limits?: Limits;
}

export interface CoprocessorStatus {
  readonly name: string;
  /**
   * `restarting`: it is gone and is being brought back or waited for; `stopped`: by request, or it exited with code 0; `failed`:
   * it is gone for good.
   */
  readonly state: 'running' | 'restarting' | 'stopped' | 'failed';
  /** How often it came back. */
  readonly restarts: number;
  /** {@link Limits} */
  readonly limits?: Limits;
  /** State of the kernel's remoteproc that runs its firmware, as in sysfs. */
  readonly remoteproc?: string;
  /** Why it does not run, or why a chip of it stays away. */
  readonly reason?: string;
}

export interface ChipStatus extends ChipInfo {
  /** null for a chip without one. */
  readonly coprocessor: string | null;
  /** Level changes heard of, all lines. */
  readonly edges: number;
  /** Events that could not be told from one accounted for already. */
  readonly ambiguousEvents: number;
  /** What the chip counts of the co-processor's faults and losses since that was started last; services before 0.2 do not tell. */
  readonly counters?: Readonly<Record<string, number>>;
}

export interface ExportStatus {
  readonly name: string;
  readonly socket: string;
  /** How many lines it has. */
  readonly lines: number;
  /** Whether a front-end is connected. */
  readonly connected: boolean;
  /** What the guest's driver accepted, by name. */
  readonly features: readonly string[];
  readonly counters: {
    readonly requests: number;
    readonly errors: number;
    readonly interrupts: number;
    readonly invalidEvents: number;
    readonly badChains: Readonly<Record<string, number>>;
  };
  /** {@link Limits} */
  readonly limits?: Limits;
}

/** Of the control socket itself. */
export interface ControlStatus {
  readonly connections: number;
  readonly counters: {
    readonly requests: number;
    /** Requests answered with an error, {@link badRequests} among them. */
    readonly errors: number;
    /** Requests that could not be decoded. */
    readonly badRequests: number;
    /** Connections turned away because there were too many. */
    readonly refusedConnections: number;
    readonly edges: number;
    /** Edges that connections lost because they did not read. */
    readonly droppedEdges: number;
  };
  /** {@link Limits} */
  readonly limits?: Limits;
}

export interface ServiceStatus {
  readonly version: string;
  readonly pid: number;
  /** Unix time in milliseconds. */
  readonly startedAtMs: number;
  readonly configFile: string | null;
  readonly coprocessors: readonly CoprocessorStatus[];
  readonly chips: readonly ChipStatus[];
  readonly exports: readonly ExportStatus[];
  readonly mqtt: MqttStatus | null;
  /** Of the socket that tells it: the control server adds it. */
  readonly control?: ControlStatus | null;
  /** Lines that somebody owns as outputs, as `CHIP/NAME`. */
  readonly owners: readonly { readonly line: string; readonly owner: string }[];
}

export interface ReloadReport {
  /** What was applied, a sentence each. */
  readonly changed: readonly string[];
  /** Nothing in the file differs from what runs. */
  readonly unchanged: boolean;
}

/** First message of a service. */
export interface Greeting {
  readonly service: typeof CONTROL_SERVICE;
  readonly protocol: number;
  readonly version: string;
}

/** Lines by reference: `NAME` (unique over all chips), `CHIP/NAME` or `CHIP/#OFFSET`. */
export type LineReferences = readonly string[];

/** Params and result of each method. */
export interface ControlMethods {
  readonly chips: { params: Record<never, never>; result: readonly ChipInfo[] };
  /** All lines, those of one chip, or the named ones. */
  readonly lines: {
    params: { readonly chip?: string; readonly lines?: LineReferences };
    result: readonly LineInfo[];
  };
  readonly get: { params: { readonly lines: LineReferences }; result: readonly LineOutcome[] };
  readonly set: {
    params: { readonly values: readonly { readonly line: string; readonly level: 0 | 1 }[] };
    result: readonly LineOutcome[];
  };
  readonly toggle: { params: { readonly lines: LineReferences }; result: readonly LineOutcome[] };
  readonly pulse: {
    params: { readonly lines: LineReferences; readonly level: 0 | 1; readonly durationMs: number };
    result: readonly LineOutcome[];
  };
  readonly release: { params: { readonly lines: LineReferences }; result: readonly LineOutcome[] };
  readonly direction: {
    params: { readonly lines: LineReferences; readonly direction: 'in' | 'out' | 'none' };
    result: readonly LineOutcome[];
  };
  /** All lines there are, those of one chip, or the named ones. */
  readonly watch: {
    params: { readonly chip?: string; readonly lines?: LineReferences; readonly edges?: EdgeChoice };
    result: { readonly subscription: number; readonly lines: readonly LineInfo[] };
  };
  readonly unwatch: { params: { readonly subscription: number }; result: Record<never, never> };
  readonly status: { params: Record<never, never>; result: ServiceStatus };
  readonly reload: { params: Record<never, never>; result: ReloadReport };
  /** Answered when it is done: with `start` and `restart`, when the firmware runs and its chips are back. */
  readonly coprocessor: {
    params: { readonly name: string; readonly action: CoprocessorAction };
    result: CoprocessorStatus;
  };
}

export type ControlMethod = keyof ControlMethods;
export type ParamsOf<M extends ControlMethod> = ControlMethods[M]['params'];
export type ResultOf<M extends ControlMethod> = ControlMethods[M]['result'];

/** One request, told apart by its method. */
export type ControlRequest = {
  [M in ControlMethod]: { readonly id: number; readonly method: M; readonly params: ParamsOf<M> };
}[ControlMethod];

/** What can be done with a co-processor. */
export type CoprocessorAction = 'start' | 'stop' | 'restart';

/** Why a request, or the connection, failed. */
export interface ControlFailure {
  readonly code: ControlCode;
  readonly message: string;
}
