import { RESULT_OK } from '../../src/gpio/chip.ts';
import { GpiochipChip } from '../../src/gpiochip/gpiochip.ts';
import { Outcomes } from '../gpio/consumer.ts';
import { FakeKernel } from './fake-kernel.ts';

/** Where the fake chip is. */
export const PATH = '/dev/gpiochip7';

/** A gpiochip on a fake kernel, and what it told. */
export interface Bench {
  readonly kernel: FakeKernel;
  readonly chip: GpiochipChip;
  readonly edges: { offset: number; level: number; seq: number; merged: boolean; timestampNs: bigint }[];
  readonly log: string[];
  readonly availability: [available: boolean, reason: string][];
  /** Runs an operation, which must be answered in the same turn. */
  run(operation: 'getDirection' | 'getValue', offset: number): [result: number, value: number];
  run(
    operation: 'setDirection' | 'setValue' | 'setIrqType',
    offset: number,
    value: number,
  ): [result: number, value: number];
}

export function open(kernel = new FakeKernel('LED', 'BUTTON', '', 'RELAY')): Bench {
  const log: string[] = [];
  const chip = GpiochipChip.open({
    name: 'soc',
    path: PATH,
    kernel,
    onLog: (level, message) => log.push(`${level}: ${message}`),
  });
  const edges: Bench['edges'] = [];
  const availability: Bench['availability'] = [];
  chip.listen({
    edge: ({ offset, level, seq, merged, timestampNs }) =>
      edges.push({ offset, level, seq, merged, timestampNs }),
    availability: (available, reason) => availability.push([available, reason]),
  });
  const run = (
    operation: 'getDirection' | 'getValue' | 'setDirection' | 'setValue' | 'setIrqType',
    offset: number,
    value = 0,
  ): [number, number] => {
    const outcomes = new Outcomes();
    if (operation === 'getDirection' || operation === 'getValue') chip[operation](offset, outcomes, 0);
    else chip[operation](offset, value, outcomes, 0);
    chip.flush();
    return outcomes.take() ?? [-1, -1];
  };
  return { kernel, chip, edges, log, availability, run };
}

/** The outcome of an operation that gives no value. */
export const OK = [RESULT_OK, 0];
