/**
 * Runs as a process with --expose-gc: handles and buffers that nobody holds. A watched descriptor is still watched, a
 * mapping goes. Prints what it saw.
 */
import { readFileSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import {
  createEventfd,
  createMemfd,
  mapDescriptor,
  openPoll,
  POLL_READABLE,
  signalDescriptor,
  unmap,
} from '../../src/native.ts';

const collect = (globalThis as { gc?: () => void }).gc!;
const memfd = createMemfd('native-collected', 4096);
const mapped = (): number => readFileSync('/proc/self/maps', 'utf8').split('native-collected').length - 1;
const doorbell = createEventfd();
let rung = 0;
let collected = 0;
const registry = new FinalizationRegistry(() => collected++);

function leave(): void {
  for (let count = 0; count < 8; count++) mapDescriptor(memfd, 0, 4096);
  unmap(mapDescriptor(memfd, 0, 4096));
  registry.register(
    openPoll(
      doorbell,
      POLL_READABLE,
      () => {
        rung++;
      },
      true,
    ),
    undefined,
  );
  const closed = openPoll(createEventfd(), POLL_READABLE, () => {});
  closed.close();
  registry.register(closed, undefined);
}

async function collectUntil(done: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!done() && Date.now() < deadline) {
    collect();
    await turn();
  }
}

leave();
const before = mapped();
await collectUntil(() => mapped() === 0 && collected === 2);
signalDescriptor(doorbell);
await collectUntil(() => rung === 1);
console.log(JSON.stringify({ before, after: mapped(), collected, rung }));
process.exit(0);
