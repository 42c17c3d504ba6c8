// Pulses an output whenever an input rises: npx tsx examples/scripts/blink-on-edge.ts [INPUT OUTPUT [MS]]
import { ControlError, connect } from 'rproc-gpio';

const [input = 'BUTTON', output = 'LED_STATUS', durationMs = '100'] = process.argv.slice(2);

// Ctrl-C leaves the loop, so that the output is given up below.
const controller = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => controller.abort());

await using client = await connect();
const lamp = client.line(output);
const stream = client.line(input).edges({ edges: 'rising', signal: controller.signal });
try {
  await stream.ready;
  console.log(`${output} blinks when ${input} rises`);
  for await (const { seq } of stream) {
    try {
      await lamp.pulse(1, Number(durationMs));
      console.log(`edge ${seq}: blinked`);
    } catch (error) {
      if (!(error instanceof ControlError)) throw error;
      // A guest may own the lamp just now.
      console.log(`edge ${seq}: ${error.message}`);
    }
  }
} catch (error) {
  if (!controller.signal.aborted) throw error;
} finally {
  // What a script sets stays set when it ends, until somebody releases it.
  if (controller.signal.aborted) await lamp.release();
}
