/**
 * The device classes of Home Assistant that lines can have: pages "Binary sensor" and "Switch" of its documentation, sections
 * "Device class". A class changes the words and the icon that people see: `door` is "open" where `motion` is "detected".
 */

/** What a line is to Home Assistant: something to look at, or something to turn on and off. */
export type LineComponent = 'binary_sensor' | 'switch';

/** Classes of inputs. */
export const BINARY_SENSOR_DEVICE_CLASSES: readonly string[] = [
  'battery',
  'battery_charging',
  'carbon_monoxide',
  'cold',
  'connectivity',
  'door',
  'garage_door',
  'gas',
  'heat',
  'light',
  'lock',
  'moisture',
  'motion',
  'moving',
  'occupancy',
  'opening',
  'plug',
  'power',
  'presence',
  'problem',
  'running',
  'safety',
  'smoke',
  'sound',
  'tamper',
  'update',
  'vibration',
  'window',
];

/** Classes of outputs. */
export const SWITCH_DEVICE_CLASSES: readonly string[] = ['outlet', 'switch'];

/** The classes of a component. */
export function deviceClasses(component: LineComponent): readonly string[] {
  return component === 'switch' ? SWITCH_DEVICE_CLASSES : BINARY_SENSOR_DEVICE_CLASSES;
}

/**
 * What would be right instead of a class that the component does not have; null when it has it.
 * @param name as it is written in a configuration
 */
export function deviceClassFault(component: LineComponent, name: string): string | null {
  const classes = deviceClasses(component);
  if (classes.includes(name)) return null;
  const other: LineComponent = component === 'switch' ? 'binary_sensor' : 'switch';
  if (deviceClasses(other).includes(name)) {
    const lines = other === 'switch' ? 'outputs (role: output)' : 'lines that are no outputs';
    return `"${name}" is a class of ${lines}; this line is a ${component}, with the classes ${classes.join(', ')}`;
  }
  const near = nearest(name, classes);
  if (near !== undefined) return `did you mean "${near}"?`;
  return `expected a device class of a ${component}: ${classes.join(', ')}`;
}

/** The class that differs in the fewest letters, if no more than a third of them are wrong, or one begins like the other. */
function nearest(name: string, classes: readonly string[]): string | undefined {
  const wanted = name
    .slice(0, 40)
    .toLowerCase()
    .replace(/[\s-]+/g, '_');
  let best: string | undefined;
  let fewest = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of classes) {
    const isBeginning = wanted.length >= 3 && (candidate.startsWith(wanted) || wanted.startsWith(candidate));
    const letters = isBeginning
      ? Math.min(1, Math.abs(candidate.length - wanted.length))
      : editDistance(wanted, candidate);
    if (letters < fewest) {
      best = candidate;
      fewest = letters;
    }
  }
  return best;
}

/** Letters to insert, remove or replace (Levenshtein). */
function editDistance(a: string, b: string): number {
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = last[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, last[j]! + 1, row[j - 1]! + 1));
    }
    last = row;
  }
  return last[b.length]!;
}
