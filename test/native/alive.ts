/** Runs as a process: which polls keep it alive. Ends by itself, or it is a failure (the test's deadline). */
import { createEventfd, openPoll, POLL_READABLE } from '../../src/native.ts';

const open = () => openPoll(createEventfd(), POLL_READABLE, () => {});
open().unref();
const back = open();
back.unref();
back.ref();
const closed = open();
closed.close();
closed.ref();
// `back` alone keeps the process alive until here.
const timer = setTimeout(() => {
  console.log('kept alive');
  back.close();
}, 20);
timer.unref();
