/** Runs as a process: exceptions of a poll callback, by themselves and in its microtasks. Prints what it saw. */
import { createEventfd, openPoll, POLL_READABLE, signalDescriptor } from '../../src/native.ts';

const seen: string[] = [];
process.on('uncaughtException', (error) => seen.push(`uncaught ${error.message}`));
const fd = createEventfd();
let calls = 0;
const poll = openPoll(
  fd,
  POLL_READABLE,
  () => {
    calls++;
    if (calls === 1) {
      setImmediate(() => signalDescriptor(fd));
      process.nextTick(() => seen.push('tick after the exception'));
      throw new Error('from the callback');
    }
    if (calls === 2) {
      queueMicrotask(() => {
        setImmediate(() => signalDescriptor(fd));
        throw new Error('from a microtask');
      });
      return;
    }
    poll.close();
    console.log(JSON.stringify(seen));
  },
  true,
);
signalDescriptor(fd);
