import { closeSync } from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  createSocketPair,
  openPoll,
  POLL_READABLE,
  readDescriptor,
  receivedDescriptorCount,
  receiveMessage,
  sendMessage,
} from '../../src/native.ts';
import { type FrontEndError, VhostUserFrontEnd } from '../../src/testing/front-end.ts';
import {
  BACKEND_REQUEST,
  decodeHeader,
  encodeMessage,
  F_PROTOCOL_FEATURES,
  HEADER_FLAG,
  HEADER_SIZE,
  PROTOCOL_FEATURE,
  REQUEST,
} from '../../src/wire/vhost-user.ts';
import { openDescriptors } from '../native/scratch.ts';

/** A front-end whose back-end is this test: it says what it likes. */
function playedBackEnd(timeoutMs = 2000): { frontEnd: VhostUserFrontEnd; fd: number } {
  const [fd, theirs] = createSocketPair();
  const frontEnd = VhostUserFrontEnd.open({ fd: theirs, timeoutMs });
  onTestFinished(() => {
    frontEnd.close();
    closeSync(fd);
  });
  return { frontEnd, fd };
}

const ANSWERS = new Map<number, bigint>([
  [REQUEST.GET_FEATURES, F_PROTOCOL_FEATURES],
  [REQUEST.GET_PROTOCOL_FEATURES, PROTOCOL_FEATURE.BACKEND_REQ],
]);

/** Answers what asks for an answer, and says on the channel that it is given that the config space has changed. */
function answerNegotiation(fd: number): void {
  const fds = new Int32Array(8);
  const bytes = new Uint8Array(4096);
  const poll = openPoll(fd, POLL_READABLE, () => {
    const length = receiveMessage(fd, bytes, fds);
    for (const channel of fds.subarray(0, receivedDescriptorCount())) {
      sendMessage(channel, encodeMessage(BACKEND_REQUEST.CONFIG_CHANGE, 0, new Uint8Array(0)));
      closeSync(channel);
    }
    for (let at = 0; at < length; ) {
      const { request, size } = decodeHeader(bytes.subarray(at, length));
      const answer = ANSWERS.get(request);
      if (answer !== undefined) sendMessage(fd, encodeMessage(request, HEADER_FLAG.REPLY, u64(answer)));
      at += HEADER_SIZE + size;
    }
  });
  onTestFinished(() => poll.close());
}

const u64 = (value: bigint): Uint8Array => new Uint8Array(BigUint64Array.of(value).buffer);

async function errorOf(action: Promise<unknown>): Promise<FrontEndError> {
  try {
    await action;
  } catch (error) {
    return error as FrontEndError;
  }
  throw new Error('nothing was thrown');
}

describe('FrontEndSocket against a back-end that misbehaves', () => {
  it('puts an answer together from pieces', async () => {
    const { frontEnd, fd } = playedBackEnd();
    const answer = frontEnd.control.getU64(REQUEST.GET_FEATURES);
    const bytes = encodeMessage(REQUEST.GET_FEATURES, HEADER_FLAG.REPLY, u64(0x1_2345n));
    for (const byte of bytes) sendMessage(fd, Uint8Array.of(byte));
    expect(await answer).toBe(0x1_2345n);
  });

  it('takes two answers from one read, in the order of the requests', async () => {
    const { frontEnd, fd } = playedBackEnd();
    const answers = [
      frontEnd.control.getU64(REQUEST.GET_FEATURES),
      frontEnd.control.getU64(REQUEST.GET_PROTOCOL_FEATURES),
    ];
    const first = encodeMessage(REQUEST.GET_FEATURES, HEADER_FLAG.REPLY, u64(1n));
    const second = encodeMessage(REQUEST.GET_PROTOCOL_FEATURES, HEADER_FLAG.REPLY, u64(2n));
    sendMessage(fd, Uint8Array.of(...first, ...second));
    expect(await Promise.all(answers)).toEqual([1n, 2n]);
  });

  it.each([
    ['an answer to another request', encodeMessage(REQUEST.GET_QUEUE_NUM, HEADER_FLAG.REPLY, u64(1n))],
    ['bytes that are no header', new Uint8Array(12)],
  ])('ends the connection on %s', async (_, bytes) => {
    const { frontEnd, fd } = playedBackEnd();
    const answer = errorOf(frontEnd.control.getU64(REQUEST.GET_FEATURES));
    sendMessage(fd, bytes);
    expect((await answer).code).toMatch(/ERR_FRONT_END_(PROTOCOL|CLOSED)/);
    expect(frontEnd.closedReason).toMatch(
      /answered GET_QUEUE_NUM, one to GET_FEATURES is due|broke the protocol/,
    );
    expect(readDescriptor(fd, new Uint8Array(64))).toBeGreaterThan(0);
    expect(readDescriptor(fd, new Uint8Array(64))).toBe(0);
  });

  it('ends the connection on an answer to nothing', async () => {
    const { frontEnd, fd } = playedBackEnd();
    sendMessage(fd, encodeMessage(REQUEST.GET_FEATURES, HEADER_FLAG.REPLY, u64(1n)));
    expect(await frontEnd.disconnected()).toContain('no answer is due');
  });

  it('gives up waiting, and does not take the late answer for the next one', async () => {
    const { frontEnd, fd } = playedBackEnd(20);
    const late = await errorOf(frontEnd.control.getU64(REQUEST.GET_FEATURES));
    expect(late).toMatchObject({ code: 'ERR_FRONT_END_TIMEOUT' });
    expect(late.message).toBe('waited 20 ms for the answer to GET_FEATURES');
    sendMessage(fd, encodeMessage(REQUEST.GET_FEATURES, HEADER_FLAG.REPLY, u64(1n)));
    const answer = frontEnd.control.getU64(REQUEST.GET_FEATURES);
    sendMessage(fd, encodeMessage(REQUEST.GET_FEATURES, HEADER_FLAG.REPLY, u64(2n)));
    expect(await answer).toBe(2n);
  });

  it('does not keep descriptors that nobody asked for', async () => {
    const { frontEnd, fd } = playedBackEnd();
    const before = openDescriptors().size;
    const answer = frontEnd.control.getU64(REQUEST.GET_FEATURES);
    sendMessage(fd, encodeMessage(REQUEST.GET_FEATURES, HEADER_FLAG.REPLY, u64(1n)), [fd, fd]);
    await answer;
    expect(openDescriptors().size).toBe(before);
  });

  it('rejects what is open when the back-end goes, and when the front-end closes', async () => {
    const [fd, theirs] = createSocketPair();
    const frontEnd = VhostUserFrontEnd.open({ fd: theirs });
    const open = errorOf(frontEnd.control.getU64(REQUEST.GET_FEATURES));
    closeSync(fd);
    expect((await open).message).toBe(
      'the answer to GET_FEATURES: the connection is over: receiving failed with errno 104',
    );
    frontEnd.close();
  });

  it('hears of a changed config space on the channel that it gave away', async () => {
    const { frontEnd, fd } = playedBackEnd();
    const changed = new Promise<void>((resolve) => frontEnd.onConfigChange(resolve));
    answerNegotiation(fd);
    await frontEnd.negotiate();
    await changed;
    expect(frontEnd.closedReason).toBeNull();
  });
});
