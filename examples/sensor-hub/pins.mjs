// Talks to the outside world of the simulated hub: drives its inputs, reads its wires.
//   node examples/sensor-hub/pins.mjs SOCKET set BUTTON 0
//   node examples/sensor-hub/pins.mjs SOCKET get LED_STATUS
//   node examples/sensor-hub/pins.mjs SOCKET watch '*'       (until interrupted)
//   node examples/sensor-hub/pins.mjs SOCKET list
import { connect } from 'node:net';

const [socketPath, ...words] = process.argv.slice(2);
if (socketPath === undefined || words.length === 0) {
  process.stderr.write('usage: node pins.mjs SOCKET set NAME 0|1 | get NAME | watch NAME|* | list\n');
  process.exit(2);
}
const socket = connect(socketPath, () => socket.write(`${words.join(' ')}\n`));
let text = '';
socket.setEncoding('utf8');
socket.on('data', (piece) => {
  process.stdout.write(piece);
  text += piece;
  if (words[0] === 'watch') return;
  if (words[0] === 'list' ? !/^\.$/m.test(text) : !text.includes('\n')) return;
  if (text.startsWith('error')) process.exitCode = 1;
  socket.end();
});
socket.on('error', (error) => {
  process.stderr.write(`pins: ${error.message}; is 'rproc-gpio demo' running?\n`);
  process.exit(1);
});
