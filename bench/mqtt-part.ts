/** Events and commands over MQTT, and what they cost guests. */
import { BarePublisher } from './bare.ts';
import { BROKER_INSTALLATION, findMosquitto, startBroker } from './broker.ts';
import { startHubMqttService } from './hub-service.ts';
import { mqttFiguresOf, unmeasuredMqttFigures } from './mqtt-report.ts';
import { measureMqtt } from './mqtt-rounds.ts';
import type { Part, PartContext, PartResult } from './part.ts';
import { Started } from './part.ts';

async function measure({ effort, placement, json, progress }: PartContext): Promise<PartResult> {
  const program = findMosquitto();
  if (program === null) {
    // A report for machines must not look complete when it is not; people read what is said here.
    process.stderr.write(`bench: ${BROKER_INSTALLATION}; the MQTT figures are not measured\n`);
    return { figures: unmeasuredMqttFigures(json), raw: { mqtt: null } };
  }
  const started = new Started();
  try {
    const broker = await started.add(startBroker(program));
    const qos0 = await started.add(startHubMqttService(broker.port, 'mqtt-qos0', 0));
    const qos1 = await started.add(startHubMqttService(broker.port, 'mqtt-qos1', 1));
    const bare = await started.add(new BarePublisher());
    const mqtt = await measureMqtt({ broker, qos0, qos1, bare }, effort, placement, progress);
    return { figures: mqttFiguresOf(mqtt), raw: { mqtt } };
  } finally {
    await started.close();
  }
}

export const mqttPart: Part = { name: 'mqtt', measure };
