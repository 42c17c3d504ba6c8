import type { Socket } from 'node:net';
import { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { ClientOutput } from '../../../src/exporters/control/client-output.ts';
import { ControlCounters } from '../../../src/exporters/control/counters.ts';

/** A client that takes what it is written when it is told to. */
function outputTo() {
  const written: string[] = [];
  const taken: (() => void)[] = [];
  let rooms = 0;
  const socket = new Writable({
    decodeStrings: false,
    write: (chunk: string, _encoding, done) => {
      written.push(chunk);
      taken.push(done);
    },
  });
  const output = new ClientOutput({
    socket: socket as Socket,
    counters: new ControlCounters(),
    onPending: () => {},
    onRoom: () => rooms++,
  });
  return { output, socket, written, taken, rooms: () => rooms };
}

/** What a write calls back comes in a turn of its own. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

describe('the output of a client', () => {
  it('waits in one piece while the client has not taken the last', async () => {
    const { output, written, taken } = outputTo();
    for (const text of ['a', 'b', 'c']) {
      output.send(text);
      output.flush();
    }
    expect(written).toEqual(['a']);
    taken[0]!();
    await turn();
    expect(written).toEqual(['a', 'bc']);
    taken[1]!();
    await turn();
    output.send('d');
    output.flush();
    expect(written).toEqual(['a', 'bc', 'd']);
  });

  it('is written to its end before the connection ends', async () => {
    const { output, written, taken } = outputTo();
    output.send('a');
    output.flush();
    output.send('b');
    output.end();
    taken[0]!();
    await turn();
    expect(written).toEqual(['a', 'b']);
  });

  it('is not written any more when the connection is over', async () => {
    const { output, socket, written, rooms } = outputTo();
    socket.on('error', () => {});
    output.send('a');
    output.flush();
    output.send('b');
    socket.destroy(new Error('gone'));
    await turn();
    expect(written).toEqual(['a']);
    expect(rooms()).toBe(0);
  });
});
