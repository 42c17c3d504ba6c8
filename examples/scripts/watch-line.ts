// Prints the level changes of a line: npx tsx examples/scripts/watch-line.ts [LINE [COUNT]]
import { connect } from 'rproc-gpio';

const [reference = 'IMU_INT', count = 'Infinity'] = process.argv.slice(2);

await using client = await connect();
const stream = client.line(reference).edges();
stream.onDropped = (dropped) => console.log(`${dropped} edges were lost`);
const [line] = await stream.ready;
console.log(`watching ${line?.chip}/${line?.name}, level ${line?.level}`);

let seen = 0;
for await (const { edge, seq, timestampNs } of stream) {
  console.log(`${timestampNs} ${edge} (edge ${seq} of this line)`);
  seen++;
  if (seen >= Number(count)) break;
}
