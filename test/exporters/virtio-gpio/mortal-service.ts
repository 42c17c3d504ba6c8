import { createInterface } from 'node:readline';
import { VirtioGpioDevice } from '../../../src/exporters/virtio-gpio/device.ts';
import { ResumeFile } from '../../../src/exporters/virtio-gpio/resume-file.ts';
import { VhostUserServer } from '../../../src/exporters/virtio-gpio/server.ts';
import { ChipLines } from '../../../src/gpio/chip-lines.ts';
import { selectLines } from '../../../src/gpio/line-selection.ts';
import { Poller } from '../../../src/virtqueue/poller.ts';
import { DeferredChip } from './deferred-chip.ts';

// A service to be killed: serves a chip of 8 lines at the socket of the first argument, with a resume file at the second ('' =
// none). Its chip lets go what it was asked for when a line comes on standard input: `answer`, `level OFFSET LEVEL`; `now` lets
// all go at once from then on. What the chip is asked goes to standard output.

const [socketPath = '', resumePath = ''] = process.argv.slice(2);
const chip = new DeferredChip(8);
const lines = new ChipLines(chip);
const device = new VirtioGpioDevice({
  name: 'vm1',
  lines: selectLines([lines], ['*']),
  poller: new Poller(),
  pollUs: 0,
  onLog: (level, message) => process.stderr.write(`${level}: ${message}\n`),
  ...(resumePath === ''
    ? {}
    : { openResumeState: (count, identity) => ResumeFile.open(resumePath, count, identity).state }),
});
const server = new VhostUserServer({ device, onLog: () => {} });
server.listen(socketPath);

let told = '';
let isAtOnce = false;
setInterval(() => {
  if (isAtOnce) chip.answerAll();
  const waiting = chip.waiting.join(', ');
  if (waiting !== told) process.stdout.write(`waiting: ${waiting}\n`);
  told = waiting;
}, 2);

createInterface({ input: process.stdin }).on('line', (line) => {
  const [word, offset, level] = line.split(' ');
  if (word === 'now') isAtOnce = true;
  if (word === 'answer') chip.answer(Number(offset));
  if (word === 'level') chip.inner.drive(Number(offset), Number(level) as 0 | 1);
  if (word === 'counters') process.stdout.write(`counters: ${JSON.stringify(device.counters)}\n`);
  if (word === 'output') process.stdout.write(`output: ${chip.inner.level(Number(offset))}\n`);
});
process.once('SIGTERM', () => {
  server.close();
  process.exit();
});
process.stdout.write('ready\n');
