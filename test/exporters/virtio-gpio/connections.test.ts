import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, openSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  connectUnix,
  createPipe,
  createSocketPair,
  drainDescriptor,
  listenUnix,
  NativeError,
  writeDescriptor,
} from '../../../src/native.ts';
import { type CallKind, VhostUserFrontEnd } from '../../../src/testing/front-end.ts';
import { REQUEST } from '../../../src/wire/vhost-user.ts';
import {
  EVENT_QUEUE,
  MSG_GET_DIRECTION,
  MSG_GET_VALUE,
  MSG_SET_DIRECTION,
  MSG_SET_IRQ_TYPE,
  MSG_SET_VALUE,
  REQUEST_QUEUE,
} from '../../../src/wire/virtio-gpio.ts';
import { RawFrontEnd } from './raw-front-end.ts';
import { openDescriptors, scratchFolder, serveSimulatedChip, until } from './served-device.ts';

const VALID = { gpio: 1, status: 1, usedLength: 1 };

function closedLater(...fds: number[]): void {
  onTestFinished(() => {
    for (const fd of fds) closeSync(fd);
  });
}

describe('a front-end that comes back', () => {
  it('is served again, as often as it comes, and starts clean', async () => {
    const { served } = serveSimulatedChip();
    const guest = await served.connect();
    for (let round = 0; round < 10; round++) {
      expect((await guest.request(MSG_SET_IRQ_TYPE, 1, 1 + (round % 3))).status).toBe(0);
      guest.queueEvent(1);
      expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
      await guest.reconnect();
    }
    expect(served.logged('warn')).toEqual([]);
  });

  it('with its rings as they were gets what it had open done', async () => {
    const { chip, served } = serveSimulatedChip();
    const guest = await served.connect();
    await guest.request(MSG_SET_IRQ_TYPE, 1, 3);
    guest.queueEvent(1);
    await guest.request(MSG_GET_VALUE, 0);
    await guest.request(MSG_GET_VALUE, 0);
    guest.disconnect();
    await until(() => !served.server.connected);
    const open = guest.request(MSG_SET_IRQ_TYPE, 1, 3);
    // QEMU starts the rings at their used index, so that what was in flight is seen again.
    await guest.reconnect('keep');
    expect((await open).status).toBe(0);
    // The buffer that was open is offered again, too: it waits for the interrupt that is enabled anew.
    expect(guest.vring(EVENT_QUEUE).usedIndex).toBe(0);
    chip.drive(1, 1);
    expect(await guest.nextEvent()).toEqual(VALID);
  });

  it('finds the levels as they are, not as it left them', async () => {
    const { chip, served } = serveSimulatedChip();
    const guest = await served.connect();
    await guest.request(MSG_SET_IRQ_TYPE, 3, 3);
    await guest.request(MSG_SET_VALUE, 0, 1);
    await guest.request(MSG_SET_DIRECTION, 0, 1);
    expect((await guest.request(MSG_GET_VALUE, 3)).value).toBe(0);
    guest.disconnect();
    await until(() => !served.server.connected);
    chip.drive(3, 1);
    chip.drive(5, 1);
    chip.drive(5, 0);
    await guest.reconnect();
    expect((await guest.request(MSG_GET_VALUE, 3)).value).toBe(1);
    expect((await guest.request(MSG_GET_VALUE, 5)).value).toBe(0);
    // An output keeps driving, and is nobody's until somebody takes it.
    expect((await guest.request(MSG_GET_VALUE, 1)).value).toBe(1);
    expect((await guest.request(MSG_GET_DIRECTION, 0)).value).toBe(1);
    // Edges of the time between are nobody's.
    await guest.request(MSG_SET_IRQ_TYPE, 3, 3);
    guest.queueEvent(3);
    await guest.request(MSG_GET_VALUE, 0);
    await guest.request(MSG_GET_VALUE, 0);
    expect(served.device.counters.interrupts).toBe(0);
    chip.drive(3, 0);
    expect(await guest.nextEvent()).toEqual({ ...VALID, gpio: 3 });
  });
});

describe('a first front-end', () => {
  it('finds the levels that came before it', async () => {
    const { chip, served } = serveSimulatedChip();
    chip.drive(0, 1);
    chip.drive(3, 1);
    chip.drive(0, 0);
    const guest = await served.connect();
    const levels = await Promise.all([0, 1, 2, 3].map((gpio) => guest.request(MSG_GET_VALUE, gpio)));
    expect(levels.map(({ value }) => value)).toEqual([0, 0, 0, 1]);
  });
});

describe('a second front-end', () => {
  it('is refused while the first one lives, which goes on', async () => {
    const { served } = serveSimulatedChip();
    const guest = await served.connect();
    const before = openDescriptors().length;
    for (let count = 1; count <= 3; count++) {
      const second = new RawFrontEnd(served.socketPath);
      await second.closedByPeer();
      second.close();
      expect(served.logged('warn')).toHaveLength(count);
    }
    expect(served.logged('warn')[0]).toMatch(/second connection refused/);
    expect(openDescriptors()).toHaveLength(before);
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
  });

  it('is served when the first one has vanished without anybody having noticed yet', async () => {
    const { lines, served } = serveSimulatedChip();
    const first = await served.connect();
    await first.request(MSG_SET_DIRECTION, 0, 1);
    // In one turn of the loop: the end of the first and the second are found together.
    first.disconnect();
    const second = served.open();
    expect(served.server.connected).toBe(true);
    await second.start();
    expect((await second.request(MSG_GET_VALUE, 0)).status).toBe(0);
    expect(lines.lines[0]!.owner).toBeNull();
    expect(served.logged('warn')).toEqual([]);
  });
});

describe.each<CallKind>(['eventfd', 'pipe', 'socket', 'none'])('a call descriptor of kind %s', (callKind) => {
  it('is told of answers and interrupts', async () => {
    const { chip, served } = serveSimulatedChip();
    const guest = await served.connect({ callKind });
    for (let i = 0; i < 20; i++) expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
    await guest.request(MSG_SET_IRQ_TYPE, 1, 3);
    for (let i = 0; i < 6; i++) {
      guest.queueEvent(1);
      chip.drive(1, i % 2 === 0 ? 1 : 0);
      expect(await guest.nextEvent()).toEqual(VALID);
    }
  });
});

describe('a call descriptor', () => {
  /** Requests are answered although the call descriptor takes nothing. */
  async function answersWith(fd: number): Promise<void> {
    const { served } = serveSimulatedChip();
    const guest = await served.connect();
    await guest.control.setVringDescriptor(REQUEST.SET_VRING_CALL, REQUEST_QUEUE, fd);
    const before = guest.vring(REQUEST_QUEUE).usedIndex;
    const answers = [0, 1, 2].map((gpio) => guest.request(MSG_GET_VALUE, gpio));
    await until(() => guest.vring(REQUEST_QUEUE).usedIndex === before + 3);
    // The new descriptor is called at once, so that nothing that the old one swallowed is lost.
    await guest.control.setVringDescriptor(REQUEST.SET_VRING_CALL, REQUEST_QUEUE, guest.vring(0).call.fd);
    for (const answer of answers) expect((await answer).status).toBe(0);
  }

  it('that is a full pipe stops nobody', async () => {
    const [readFd, writeFd] = createPipe();
    closedLater(readFd, writeFd);
    while (writeDescriptor(writeFd, new Uint8Array(4096)) > 0);
    await answersWith(writeFd);
  });

  it('that is a full socket stops nobody', async () => {
    const [ours, theirs] = createSocketPair();
    closedLater(ours, theirs);
    while (writeDescriptor(theirs, new Uint8Array(4096)) > 0);
    await answersWith(theirs);
  });

  it('that is full and blocking stops nobody', async () => {
    const path = join(scratchFolder(), 'fifo');
    execFileSync('mkfifo', [path]);
    // Opened for both, so that opening does not wait; blocking, as a front-end may hand it over.
    const fd = openSync(path, 'r+');
    closedLater(fd);
    const bytes = new Uint8Array(65536);
    for (let sent = 0; sent < bytes.length; ) sent += writeSync(fd, bytes, sent);
    await answersWith(fd);
  });

  it('whose reader has gone stops nobody', async () => {
    const [readFd, writeFd] = createPipe();
    closeSync(readFd);
    closedLater(writeFd);
    await answersWith(writeFd);
  });

  it('that is exchanged while the ring runs is called at once', async () => {
    const { served } = serveSimulatedChip();
    const guest = await served.connect();
    const [readFd, writeFd] = createPipe();
    closedLater(readFd, writeFd);
    await guest.control.setVringDescriptor(REQUEST.SET_VRING_CALL, EVENT_QUEUE, writeFd);
    expect(drainDescriptor(readFd)).toBe(8);
  });
});

describe('a kick descriptor', () => {
  it('that is none has the ring looked at all the same', async () => {
    const { chip, served } = serveSimulatedChip();
    const guest = await served.connect();
    for (const { index } of guest.vrings) {
      await guest.control.setVringDescriptor(REQUEST.SET_VRING_KICK, index, -1);
    }
    for (let i = 0; i < 5; i++) expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
    await guest.request(MSG_SET_IRQ_TYPE, 1, 1);
    guest.queueEvent(1);
    await until(() => guest.vring(EVENT_QUEUE).availableIndex === 1);
    chip.drive(1, 1);
    expect(await guest.nextEvent()).toEqual(VALID);
  });

  it('may be a pipe, and its end is not the end of the connection', async () => {
    const { served } = serveSimulatedChip();
    const guest = await served.connect();
    const [readFd, writeFd] = createPipe();
    await guest.control.setVringDescriptor(REQUEST.SET_VRING_KICK, REQUEST_QUEUE, readFd);
    closeSync(readFd);
    const answer = guest.request(MSG_GET_VALUE, 0);
    expect(writeDescriptor(writeFd, new Uint8Array(1))).toBe(1);
    expect((await answer).status).toBe(0);
    closeSync(writeFd);
    await guest.control.getU64(REQUEST.GET_FEATURES);
    await guest.control.setVringDescriptor(REQUEST.SET_VRING_KICK, REQUEST_QUEUE, guest.vring(0).kickFd);
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
  });
});

describe('a server', () => {
  it('listens with mode 0600 and removes its socket when it is closed, twice without harm', async () => {
    const { served } = serveSimulatedChip();
    expect(statSync(served.socketPath).mode & 0o777).toBe(0o600);
    const guest = await served.connect();
    served.server.close();
    served.server.close();
    expect(existsSync(served.socketPath)).toBe(false);
    await guest.disconnected();
    expect(() => connectUnix(served.socketPath)).toThrow(NativeError);
  });

  it('replaces a socket that nobody listens on, and refuses a live one', () => {
    const path = join(scratchFolder(), 'stale.sock');
    closeSync(listenUnix(path));
    const { served } = serveSimulatedChip();
    served.server.close();
    served.server.listen(path);
    expect(existsSync(path)).toBe(true);
    const { served: other } = serveSimulatedChip();
    expect(() => other.server.listen(path)).toThrow(/another process is listening/);
    other.server.close();
    expect(existsSync(path)).toBe(true);
  });

  it('serves a descriptor that is connected already', async () => {
    const { served } = serveSimulatedChip();
    const [ours, theirs] = createSocketPair();
    expect(served.server.serveDescriptor(theirs)).toBe(false);
    const guest = await VhostUserFrontEnd.connect({ fd: ours });
    onTestFinished(() => guest.close());
    expect((await guest.request(MSG_GET_VALUE, 0)).status).toBe(0);
  });

  it('serves a descriptor that listens, with whoever waits there already', async () => {
    const { served } = serveSimulatedChip();
    const path = join(scratchFolder(), 'inherited.sock');
    const listening = listenUnix(path);
    const early = served.open({ socketPath: path });
    expect(served.server.serveDescriptor(listening)).toBe(true);
    await early.start();
    expect((await early.request(MSG_GET_VALUE, 0)).status).toBe(0);
    early.close();
    const late = await served.connect({ socketPath: path });
    expect((await late.request(MSG_GET_VALUE, 0)).status).toBe(0);
  });

  it('refuses a descriptor that is no socket', () => {
    const { served } = serveSimulatedChip();
    const fd = openSync('/dev/null', 'r');
    closedLater(fd);
    expect(() => served.server.serveDescriptor(fd)).toThrow(/descriptor \d+ is not a socket/);
    expect(() => served.server.serveDescriptor(999)).toThrow(NativeError);
  });
});
