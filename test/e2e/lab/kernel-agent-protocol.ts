/**
 * What a test and the agent in its kernel (kernel-agent.ts) say to each other: one JSON object a line, over the kernel's
 * console. Commands carry an `id`; the answer has the same one. Everything else comes when it happens.
 */

import type { CoprocessorOptions } from '../../../src/coprocessor/coprocessor-options.ts';
import type { KernelRpmsgOptions } from '../../../src/coprocessor/kernel-rpmsg.ts';
import type { RemoteprocState } from '../../../src/coprocessor/remoteproc.ts';
import type { RemoteprocOptions } from '../../../src/coprocessor/remoteproc-lifecycle.ts';

/** A bank of gpio-sim lines: a chip. */
export interface SimBank {
  readonly label: string;
  readonly lineCount: number;
  /** By offset; the others have none. */
  readonly lineNames: Readonly<Record<number, string>>;
}

/** A simulated chip, where the agent's kernel has it. */
export interface SimChip {
  /** `/dev/gpiochipN` */
  readonly path: string;
  /** Its folder in sysfs, with a folder `sim_gpioN` for each line. */
  readonly sysfs: string;
}

export type Operation = 'getDirection' | 'setDirection' | 'getValue' | 'setValue' | 'setIrqType';

/** Commands for co-processors: the kernel's remoteproc, memory and doorbell by UIO, the kernel's rpmsg. */
export interface CoprocessorCommands {
  /** Writes a file, and the folder that it is in. */
  writeBytes: { takes: { path: string; base64: string }; gives: null };
  /** Begins to watch one; what becomes of it comes as {@link RemoteprocNews}. */
  openRemoteproc: { takes: { options: RemoteprocOptions }; gives: RemoteprocState };
  /** Gives the state afterwards. */
  remoteproc: {
    takes: { name: string; action: 'up' | 'start' | 'stop' | 'restart' | 'close' };
    gives: RemoteprocState;
  };
  openCoprocessor: { takes: { options: Omit<CoprocessorOptions, 'onLog'> }; gives: null };
  /** Binds a virtio device and starts it; its calls come as {@link CallNews}. */
  bindVdev: { takes: { name: string; index: number; id: number }; gives: null };
  kickVdev: { takes: { name: string; queue: number }; gives: null };
  closeCoprocessor: { takes: { name: string }; gives: null };
  openRpmsg: { takes: { options: Omit<KernelRpmsgOptions, 'onLog' | 'kernel'> }; gives: null };
  rpmsgChannels: { takes: { name: string }; gives: readonly string[] };
  rpmsgCounters: { takes: { name: string }; gives: Readonly<Record<string, number>> };
  /** Gives the device that it is; its messages come as {@link MessageNews}. */
  openChannel: { takes: { name: string; channel: string; timeoutMs: number }; gives: string };
  /** Sends all in one turn; says of each whether it was taken. */
  sendMessages: { takes: { channel: string; texts: readonly string[] }; gives: readonly boolean[] };
  closeChannel: { takes: { channel: string }; gives: null };
  closeRpmsg: { takes: { name: string }; gives: null };
}

/** Commands by their name: what they take and what they give. */
export interface Commands extends CoprocessorCommands {
  /** Makes simulated chips: one a bank, in their order. */
  createSim: { takes: { name: string; banks: readonly SimBank[] }; gives: readonly SimChip[] };
  /** Removes the chips of a simulation, whoever uses them. */
  removeSim: { takes: { name: string }; gives: null };
  /** Pulls a line from outside. */
  pull: { takes: { chip: SimChip; offset: number; level: number }; gives: null };
  /**
   * Pulls a line to the other level `count` times in one turn of the agent's loop, and waits for the kernel's interrupt after
   * each: the kernel counts every edge, the agent reads none meanwhile.
   */
  burst: { takes: { chip: SimChip; offset: number; count: number }; gives: null };
  /** The level that a simulated line has. */
  level: { takes: { chip: SimChip; offset: number }; gives: number };
  /** Opens a chip under a name. */
  open: { takes: { name: string; path: string }; gives: { label: string; lineNames: readonly string[] } };
  close: { takes: { name: string }; gives: null };
  /** An operation of the agent's one consumer on a line. */
  operate: {
    takes: { chip: string; offset: number; operation: Operation; value?: number };
    gives: { result: number; value: number };
  };
  watch: { takes: { chip: string; offset: number; on: boolean }; gives: null };
  counters: { takes: { chip: string }; gives: Readonly<Record<string, number>> };
  /** Connects a guest to an exported device. */
  connectGuest: { takes: { guest: string; socketPath: string }; gives: { lineNames: readonly string[] } };
  /** A request of a guest's driver (virtio 1.2, section 5.18.6). */
  guestRequest: {
    takes: { guest: string; type: number; line: number; value?: number };
    gives: { status: number; value: number; usedLength: number };
  };
  /** Unmasks a guest's interrupt: it comes as {@link GuestInterrupt}. */
  guestUnmask: { takes: { guest: string; line: number }; gives: null };
  /** CLOCK_MONOTONIC in nanoseconds, in decimal. */
  clock: { takes: object; gives: string };
  /** Runs a shell command to its end. */
  run: { takes: { command: string }; gives: { exitCode: number; stdout: string; stderr: string } };
  /** Starts a program; its lines come as {@link ProgramLine}. Gives its process id. */
  start: { takes: { command: readonly string[] }; gives: number };
  /** Ends a started program with SIGTERM and waits for its end. */
  stop: { takes: { pid: number }; gives: { exitCode: number | null; signal: string | null } };
  writeFile: { takes: { path: string; text: string }; gives: null };
}

export type CommandName = keyof Commands;

/** An edge that the agent's consumer was told. */
export interface EdgeNews {
  readonly kind: 'edge';
  readonly chip: string;
  readonly offset: number;
  readonly level: number;
  readonly seq: number;
  readonly merged: boolean;
  readonly timestampNs: string;
}

export interface AvailabilityNews {
  readonly kind: 'availability';
  readonly chip: string;
  readonly available: boolean;
  readonly reason: string;
}

export interface LogNews {
  readonly kind: 'log';
  readonly text: string;
}

export interface ProgramLine {
  readonly kind: 'line';
  readonly pid: number;
  readonly text: string;
}

export interface GuestInterrupt {
  readonly kind: 'interrupt';
  readonly guest: string;
  readonly line: number;
  readonly status: number;
}

export interface RemoteprocNews {
  readonly kind: 'remoteproc';
  readonly name: string;
  readonly state: RemoteprocState;
}

/** A co-processor's call reached a vdev. */
export interface CallNews {
  readonly kind: 'call';
  readonly name: string;
  /** Of all since it was bound. */
  readonly count: number;
}

export interface MessageNews {
  readonly kind: 'message';
  readonly channel: string;
  readonly text: string;
}

export type CoprocessorNews =
  | RemoteprocNews
  | CallNews
  | MessageNews
  | { readonly kind: 'channelGone'; readonly channel: string; readonly reason: string }
  | { readonly kind: 'rpmsgLost'; readonly name: string; readonly reason: string };

export type News =
  | CoprocessorNews
  | EdgeNews
  | AvailabilityNews
  | LogNews
  | ProgramLine
  | GuestInterrupt
  | { readonly kind: 'ready' };

export interface Answer {
  readonly kind: 'answer';
  readonly id: number;
  readonly value?: unknown;
  readonly error?: { readonly code: string; readonly message: string };
}
