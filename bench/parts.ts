/** All parts of the bench, in the order in which they run. */
import { controlPart } from './control-part.ts';
import { guestPart } from './guest-part.ts';
import { hubPart } from './hub-part.ts';
import { idlePart } from './idle-part.ts';
import { mqttPart } from './mqtt-part.ts';
import type { Part } from './part.ts';
import { pressurePart } from './pressure-part.ts';
import { scalePart } from './scale-part.ts';
import { soakPart } from './soak-part.ts';

export const PARTS: readonly Part[] = [
  guestPart,
  pressurePart,
  scalePart,
  hubPart,
  mqttPart,
  controlPart,
  idlePart,
  soakPart,
];

/**
 * The parts that a comma-separated list names; all of them without one.
 * @throws Error for a name that no part has
 */
export function partsNamed(list: string | undefined): readonly Part[] {
  if (list === undefined) return PARTS;
  const names = list.split(',');
  for (const name of names) {
    if (PARTS.some((part) => part.name === name)) continue;
    throw new Error(`--only=${list}: must be of ${PARTS.map((part) => part.name).join(', ')}`);
  }
  return PARTS.filter((part) => names.includes(part.name));
}
