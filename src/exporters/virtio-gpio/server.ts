import { closeSync, existsSync } from 'node:fs';
import { dirname } from 'node:path';
import {
  acceptUnix,
  listenUnix,
  NativeError,
  openPoll,
  POLL_READABLE,
  type PollHandle,
  setNonBlocking,
  statDescriptor,
} from '../../native.ts';
import { giveToGroup, groupId, removerOf } from '../socket-file.ts';
import { VhostUserConnection } from './connection.ts';
import { SocketCounters } from './counters.ts';
import type { ExportedDevice, Log } from './exported-device.ts';
import { FrontDoor } from './front-door.ts';
import { MessageChannel } from './message-channel.ts';

const EINVAL = 22;

export interface VhostUserServerOptions {
  readonly device: ExportedDevice;
  readonly onLog: Log;
  /** How long outputs stay with a guest whose front-end has gone; default 0. */
  readonly reconnectGraceMs?: number;
  /** Called when a front-end has connected. */
  readonly onConnected?: () => void;
  /** Called when the front-end has gone. */
  readonly onDisconnected?: () => void;
  /** How long a message may take from its first byte to its last; default 5 s. */
  readonly messageTimeoutMs?: number;
}

/** Says what of the path is wrong, where the errno alone leaves it open. */
function describeListenError(path: string, error: unknown): unknown {
  if (!(error instanceof NativeError)) return error;
  const { code, errno } = error;
  const folder = dirname(path);
  if (code === 'ENOENT' && !existsSync(folder)) {
    const message = `socket ${path}: there is no folder ${folder} (ENOENT); make it, or choose another place`;
    return new NativeError(code, errno, message);
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    const message = `socket ${path}: no permission to make it in ${folder} (${code}); choose another place or user`;
    return new NativeError(code, errno, message);
  }
  return error;
}

/**
 * Serves one exported device: a Unix socket, one front-end at a time, as often as it comes back. A front-end is who has sent a
 * whole message ({@link FrontDoor}).
 */
export class VhostUserServer {
  readonly device: ExportedDevice;
  readonly counters = new SocketCounters();
  /** Settable: counts from the next disconnection. */
  reconnectGraceMs: number;
  readonly #onLog: Log;
  readonly #onConnected: () => void;
  readonly #onDisconnected: () => void;
  /** Runs while outputs wait for their guest to come back. */
  #grace: NodeJS.Timeout | null = null;
  /** Removes the socket's file; null without one. */
  #remove: (() => void) | null = null;
  #listenFd = -1;
  #poll: PollHandle | null = null;
  #connection: VhostUserConnection | null = null;
  readonly #door: FrontDoor;
  readonly #messageTimeoutMs: number | undefined;
  #isClosed = false;

  constructor(options: VhostUserServerOptions) {
    this.device = options.device;
    this.reconnectGraceMs = options.reconnectGraceMs ?? 0;
    this.#onLog = options.onLog;
    this.#onConnected = options.onConnected ?? (() => {});
    this.#onDisconnected = options.onDisconnected ?? (() => {});
    this.#messageTimeoutMs = options.messageTimeoutMs;
    this.#door = new FrontDoor({
      counters: this.counters,
      isTaken: () => {
        // The old front-end may be gone without our having read so.
        this.#connection?.read();
        return this.#connection !== null;
      },
      onSpeaks: (channel, header, payload, fds) => this.#connect(channel).message(header, payload, fds),
      onRefused: (reason) => this.#onLog('warn', `${this.device.name}: ${reason}`),
      messageTimeoutMs: options.messageTimeoutMs,
    });
  }

  get connected(): boolean {
    return this.#connection !== null;
  }

  /** virtio features that the connected guest's driver accepted; 0 without one. */
  get features(): bigint {
    return this.#connection?.features ?? 0n;
  }

  /** For the watchdog, see Progress. */
  stuck(): string | null {
    return this.#connection?.stuck() ?? null;
  }

  /**
   * Listens at a path: mode 0600, or 0660 for a group (its name or number).
   * @throws NativeError when the socket cannot be made there, SocketGroupError when the group cannot have it; nothing is left then
   */
  listen(path: string, group?: string): void {
    const what = `socket ${path}`;
    const gid = group === undefined ? null : groupId(group, what);
    let fd: number;
    try {
      fd = listenUnix(path, 0o600);
    } catch (error) {
      throw describeListenError(path, error);
    }
    const remove = removerOf(path);
    try {
      if (group !== undefined && gid !== null) giveToGroup(path, gid, 0o660, group, 'socket');
    } catch (error) {
      remove();
      closeSync(fd);
      throw error;
    }
    this.#listenOn(fd);
    this.#remove = remove;
  }

  /**
   * Serves an inherited descriptor: a listening socket, or a connected one (vhost-user.rst, "Backend program conventions").
   * @returns whether it is a listening one
   * @throws NativeError when the descriptor is no socket
   */
  serveDescriptor(fd: number): boolean {
    const { kind } = statDescriptor(fd);
    if (kind !== 'socket') throw new Error(`descriptor ${fd} is not a socket (${kind})`);
    // Accepting must not wait, whatever the parent has left the socket at.
    setNonBlocking(fd);
    const accepted = acceptUnix(fd);
    if (accepted === -EINVAL) {
      // There will be no other: it has the device, however long it is silent.
      const events = { message: () => {}, closed: () => {} };
      this.counters.connections++;
      this.#connect(new MessageChannel(fd, events, this.#messageTimeoutMs));
      return false;
    }
    if (accepted >= 0) this.#door.add(accepted);
    this.#listenOn(fd);
    return true;
  }

  #listenOn(fd: number): void {
    this.#listenFd = fd;
    this.#poll = openPoll(fd, POLL_READABLE, () => this.#door.accept(fd));
  }

  #connect(channel: MessageChannel): VhostUserConnection {
    this.#onLog('info', `${this.device.name}: front-end connected`);
    this.#endGrace();
    const connection = new VhostUserConnection({
      channel,
      device: this.device,
      counters: this.counters,
      onLog: this.#onLog,
      onClosed: (end) => {
        this.#connection = null;
        this.counters.count(end);
        // When it is the service that ends, what the guest had set is for the next one to set again.
        if (!this.#isClosed) this.#beginGrace();
        this.#onDisconnected();
      },
    });
    this.#onConnected();
    this.#connection = connection;
    return connection;
  }

  #beginGrace(): void {
    this.#endGrace();
    const expire = (): void => {
      if (this.device.expire === undefined) this.device.reset();
      else this.device.expire();
    };
    if (this.reconnectGraceMs === 0) return expire();
    this.#grace = setTimeout(() => {
      this.#grace = null;
      expire();
    }, this.reconnectGraceMs);
  }

  #endGrace(): void {
    if (this.#grace !== null) clearTimeout(this.#grace);
    this.#grace = null;
  }

  /** Ends the connection, removes the socket, closes the device; idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#poll?.close();
    this.#poll = null;
    if (this.#listenFd >= 0) closeSync(this.#listenFd);
    this.#listenFd = -1;
    try {
      this.#remove?.();
    } catch {
      // Its folder is not ours to write in any more: the next service finds that nobody listens.
    }
    this.#remove = null;
    this.#door.close();
    this.#connection?.close();
    this.#endGrace();
    this.device.close();
  }
}
