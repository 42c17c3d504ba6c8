/** Where messages go; what to do with them is the caller's choice. */
export type Log = (level: 'debug' | 'info' | 'warn' | 'error', message: string) => void;
