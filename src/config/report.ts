import type { ConfigPath } from './config-error.ts';

/** Takes the faults that a check finds. */
export type Report = (path: ConfigPath, wrong: string, right: string, at?: 'key' | 'value') => void;
