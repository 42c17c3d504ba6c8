/** The co-processor's lines: what guests wait for, and how many level changes come through. */
import { BROKER_INSTALLATION, findMosquitto, startBroker } from './broker.ts';
import { measureHubRounds } from './hub-latency.ts';
import { hubLatencyFigures, streamFigures, unmeasuredStreamFigures } from './hub-report.ts';
import { startHubMqttService, startHubService } from './hub-service.ts';
import { measureStream, STREAM_FIRMWARE, type StreamResult } from './hub-stream.ts';
import type { Part, PartContext, PartResult, Progress } from './part.ts';
import { Started } from './part.ts';

async function measure({ effort, placement, json, progress }: PartContext): Promise<PartResult> {
  const started = new Started();
  try {
    const service = await started.add(startHubService());
    const hub = await measureHubRounds(service, effort, placement, progress);
    await service.close();
    const stream = await measureStreamPart(started, effort.streamSeconds, progress);
    const figures = stream === null ? unmeasuredStreamFigures(json) : streamFigures(stream);
    return { figures: [...hubLatencyFigures(hub), ...figures], raw: { hub, stream } };
  } finally {
    await started.close();
  }
}

async function measureStreamPart(
  started: Started,
  seconds: number,
  progress: Progress,
): Promise<StreamResult | null> {
  const program = findMosquitto();
  if (program === null) {
    process.stderr.write(`bench: ${BROKER_INSTALLATION}; the event stream beside MQTT is not measured\n`);
    return null;
  }
  const broker = await started.add(startBroker(program));
  const further = { control: true, firmwareOptions: STREAM_FIRMWARE };
  const service = await started.add(startHubMqttService(broker.port, 'hub-stream', 0, further));
  const stream = await measureStream(broker, service, seconds);
  progress(`stream: ${stream.edges} of ${stream.changes} changes in ${stream.seconds.toFixed(2)} s`);
  return stream;
}

export const hubPart: Part = { name: 'hub', measure };
