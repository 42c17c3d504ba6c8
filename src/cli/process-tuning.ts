import { UsageError } from './command.ts';

/** Options of the commands that serve guests, for parseArgs. */
export const TUNING_OPTIONS = {
  'lock-memory': { type: 'boolean' },
  realtime: { type: 'string' },
} as const;

/** Lines for their usage texts. */
export const TUNING_USAGE = `  --lock-memory          keep program files, heap and stack resident (mlock);
                         docs/performance.md
  --realtime=PRIORITY    scheduling policy SCHED_FIFO with priority 1 to 99
`;

/** Does what {@link TUNING_OPTIONS} ask for. */
export async function tuneProcess(values: {
  readonly 'lock-memory'?: boolean;
  readonly realtime?: string;
}): Promise<void> {
  if (values['lock-memory'] !== true && values.realtime === undefined) return;
  // Loaded only when asked for: ffi-napi does not exist for every platform.
  const { lockMemory, setRealtimePriority } = await import('../libc.ts');
  if (values['lock-memory'] === true) lockMemory();
  if (values.realtime === undefined) return;
  const priority = Number(values.realtime);
  if (!Number.isInteger(priority) || priority < 1 || priority > 99) {
    throw new UsageError(`--realtime=${values.realtime}: a priority is a whole number from 1 to 99`);
  }
  setRealtimePriority(priority);
}
