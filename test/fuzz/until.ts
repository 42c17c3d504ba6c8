/**
 * How long something is waited for: in this process's own time on a processor, so that a machine that is busy with other things is no
 * find. What is waited for has to happen in this process; waiting keeps it busy.
 */
const PATIENCE_MS = 3000;

/** Waits until the condition holds. @returns false when it never does */
export async function until(condition: () => boolean): Promise<boolean> {
  const start = process.cpuUsage();
  while (!condition()) {
    const { user, system } = process.cpuUsage(start);
    if ((user + system) / 1000 > PATIENCE_MS) return condition();
    await new Promise((resolve) => setImmediate(resolve));
  }
  return true;
}
