/** The co-processor's lines: what guests wait for. */
import { measureHubRounds } from './hub-latency.ts';
import { hubLatencyFigures } from './hub-report.ts';
import { startHubService } from './hub-service.ts';
import type { Part, PartContext, PartResult } from './part.ts';
import { Started } from './part.ts';

async function measure({ effort, placement, progress }: PartContext): Promise<PartResult> {
  const started = new Started();
  try {
    const service = await started.add(startHubService());
    const hub = await measureHubRounds(service, effort, placement, progress);
    return { figures: hubLatencyFigures(hub), raw: { hub } };
  } finally {
    await started.close();
  }
}

export const hubPart: Part = { name: 'hub', measure };
