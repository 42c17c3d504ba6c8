/** Takes text. `written` is told when it is out, or why it cannot be. */
export interface TextSink {
  write(text: string, written?: (error?: Error | null) => void): unknown;
}

/** Where a command writes; the process's own streams, or a buffer in a test. */
export interface CommandIo {
  readonly stdout: TextSink;
  readonly stderr: TextSink;
}

/** One subcommand of `rproc-gpio`. Every command module exports one as `command`. */
export interface Command {
  /** The word after `rproc-gpio`. */
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** What `--help` prints; fits a screen. */
  readonly usage: string;
  /**
   * Runs the command.
   * @param args what follows the command's name
   * @returns the exit code: 0, 1 (error) or 2 (usage or configuration error)
   * @throws UsageError for arguments that make no sense; other errors mean exit code 1
   */
  run(args: readonly string[], io: CommandIo): Promise<number> | number;
}

/** The arguments make no sense; the message says what would. Exit code 2. */
export class UsageError extends Error {
  /** Stable across releases; compare this instead of the message. */
  readonly code = 'ERR_USAGE';

  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}
