import { closeSync } from 'node:fs';
import { join } from 'node:path';
import { acceptUnix, connectUnix, listenUnix } from '../../src/native.ts';
import { scratchFolder } from './scratch-folder.ts';

/** A listening socket of a peer that can stop reading: raw descriptors instead of node:net, which always reads. */
export class Peer {
  readonly path: string;
  readonly listenFd: number;
  #fds: number[] = [];

  constructor(path = join(scratchFolder(), 'peer.sock')) {
    this.path = path;
    this.listenFd = listenUnix(path);
    this.#fds.push(this.listenFd);
  }

  /** The descriptor of a connection that waits. */
  accept(): number {
    const fd = acceptUnix(this.listenFd);
    if (fd < 0) throw new Error(`nobody connects: errno ${-fd}`);
    this.#fds.push(fd);
    return fd;
  }

  hangUp(fd: number): void {
    this.#fds = this.#fds.filter((other) => other !== fd);
    closeSync(fd);
  }

  close(): void {
    for (const fd of this.#fds.splice(0)) closeSync(fd);
  }
}

/** Two connected sockets, both non-blocking; the second one is the peer's. */
export function socketPair(peer: Peer): [number, number] {
  const fd = connectUnix(peer.path);
  return [fd, peer.accept()];
}
