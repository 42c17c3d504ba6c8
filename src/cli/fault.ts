/** How long an orderly end may take after a fault of ours: then the process ends as it is. */
const CLOSE_MS = 2000;
/** So many faults are told of; whatever goes on while everything is closed may throw at each turn of the event loop. */
const MAX_TOLD = 10;

let close: () => Promise<void> = () => Promise.resolve();
let told = 0;

/** What is to be closed before a fault of ours ends the process. */
export function closeOnFault(closing: () => Promise<void>): void {
  close = closing;
}

/**
 * Ends the process after a fault of ours, never to leave a half-dead service behind: says it, closes what {@link closeOnFault} was told,
 * and exits with code 1, after two seconds at the latest. Whoever runs us starts us again.
 */
export function endByFault(text: string): void {
  told++;
  if (told <= MAX_TOLD) process.stderr.write(`rproc-gpio: internal error: ${text}\n`);
  if (told > 1) return;
  const end = (): never => process.exit(1);
  setTimeout(end, CLOSE_MS);
  // Not on the stack of whatever has failed.
  setImmediate(() => void closing().then(end, end));
}

/** What it throws is told as any other fault. */
async function closing(): Promise<void> {
  try {
    await close();
  } catch (error) {
    endByFault(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
}
