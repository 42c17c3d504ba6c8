import type { Access, Role } from '../../gpio/line-settings.ts';
import type { LineCommand } from './command-payload.ts';
import type { MqttOptions } from './mqtt-options.ts';

/** Where messages for the log go. */
export type Log = (level: 'debug' | 'info' | 'warn' | 'error', message: string) => void;

/** A line as the worker knows it. */
export interface WorkerLine {
  /** Index of its chip. */
  readonly chip: number;
  readonly offset: number;
  readonly name: string;
  readonly segment: string;
  readonly role: Role;
  readonly access: Access;
  readonly deviceClass: string | undefined;
}

export interface WorkerChip {
  readonly name: string;
  readonly label: string;
}

/** What a worker starts with. */
export interface WorkerData {
  readonly options: MqttOptions;
  readonly version: string;
  readonly lines: readonly WorkerLine[];
  readonly chips: readonly WorkerChip[];
  readonly ring: SharedArrayBuffer;
  readonly tables: SharedArrayBuffer;
  readonly counters: SharedArrayBuffer;
}

/** A command on its way to the main thread. */
export interface CommandRequest {
  /** The worker's number of it. */
  readonly id: number;
  readonly line: number;
  readonly command: LineCommand;
}

/** What became of it. */
export interface CommandAnswer {
  readonly id: number;
  readonly isOk: boolean;
  /** Logical level; -1 = unknown. */
  readonly level: number;
  /** Why not, when it is not ok. */
  readonly reason: string;
}

/** To the worker. `null` wakes it: there are records in the ring. */
export type ToWorker =
  | null
  | { readonly kind: 'answers'; readonly answers: readonly CommandAnswer[] }
  /** Answered with `pong`, to show that the worker's loop goes on. */
  | { readonly kind: 'ping' }
  | { readonly kind: 'close' };

/** From the worker. */
export type FromWorker =
  | { readonly kind: 'ready'; readonly port: number | null }
  /** It could not start, and ends. */
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'connection'; readonly connected: boolean; readonly reason: string }
  | { readonly kind: 'log'; readonly level: Parameters<Log>[0]; readonly message: string }
  | { readonly kind: 'commands'; readonly commands: readonly CommandRequest[] }
  | { readonly kind: 'pong' }
  | { readonly kind: 'closed' };
