import type { GuestConsole, GuestProgram } from './guest-console.ts';

/** A virtio-gpio chip as a guest's gpiod tools (version 1) see it. */
export class GuestChip {
  readonly guest: GuestConsole;
  /** `gpiochipN`. */
  readonly name: string;
  readonly lineCount: number;

  private constructor(guest: GuestConsole, name: string, lineCount: number) {
    this.guest = guest;
    this.name = name;
    this.lineCount = lineCount;
  }

  /**
   * The guest's chips in the order of its devices. A driver that is built in has bound before /init runs.
   *
   * @throws Error when gpiodetect does not list exactly `count`
   */
  static async findAll(guest: GuestConsole, count: number): Promise<GuestChip[]> {
    const { stdout, stderr } = await guest.run('gpiodetect');
    const chips = [...stdout.matchAll(/^(gpiochip\d+) \[virtio\S*\] \((\d+) lines\)$/gm)].map(
      (match) => new GuestChip(guest, match[1] ?? '', Number(match[2])),
    );
    if (chips.length !== count || stdout.trim().split('\n').length !== count) {
      throw new Error(
        `gpiodetect lists not ${count} virtio chips, but:\n${stdout}${stderr}${await kernelLog(guest)}`,
      );
    }
    return chips;
  }

  /** The only chip of a guest. @throws Error when there are more or none */
  static async find(guest: GuestConsole): Promise<GuestChip> {
    const [chip] = await GuestChip.findAll(guest, 1);
    return chip as GuestChip;
  }

  /** Line names by offset, '' where a line has none. @throws Error when gpioinfo fails */
  async lineNames(): Promise<string[]> {
    const output = await this.#succeed(`gpioinfo ${this.name}`);
    return [...output.matchAll(/^\tline +\d+: +(?:unnamed|"([^"]*)") /gm)].map((match) => match[1] ?? '');
  }

  /** Levels of lines, which become inputs by it. @throws Error when gpioget fails */
  async get(...offsets: readonly number[]): Promise<number[]> {
    return (await this.#succeed(`gpioget ${this.name} ${offsets.join(' ')}`)).trim().split(' ').map(Number);
  }

  /** Drives outputs until `release`; `lines` are `OFFSET=LEVEL`. */
  hold(...lines: readonly string[]): GuestProgram {
    return this.guest.start(`gpioset --mode=signal ${this.name} ${lines.join(' ')}`);
  }

  /** Ends a `hold`. @throws Error when it had failed, or ended with an error */
  async release(holder: GuestProgram): Promise<void> {
    const { exitCode, stderr } = await holder.stop();
    // gpioset drives the lines first and takes care of signals then: one that comes in between ends it as SIGTERM
    // ends any program (128 + 15). The kernel releases the lines either way.
    if ((exitCode !== 0 && exitCode !== 143) || stderr !== '') {
      throw new Error(`gpioset ended with ${exitCode}: ${stderr}${await kernelLog(this.guest)}`);
    }
  }

  /**
   * Monitors lines; resolves when the kernel has subscribed all of them. Prints `LEVEL OFFSET` for each edge.
   *
   * @param options of gpiomon, e.g. `--rising-edge`
   * @throws Error when gpiomon ends
   */
  async monitor(offsets: readonly number[], options = ''): Promise<GuestProgram> {
    const program = this.guest.start(
      `gpiomon --line-buffered --format='%e %o' ${options} ${this.name} ${offsets.join(' ')}`,
    );
    const pid = await program.pid();
    // A line's event descriptor appears once SET_IRQ_TYPE was answered and its eventq buffer is queued:
    // from then on no edge may get lost. gpiomon itself says nothing until the first one.
    const subscribed = `[ $(ls -l /proc/${pid}/fd | grep -c gpio-event) -ge ${offsets.length} ]`;
    const outcome = await this.guest.run(
      `while [ -e /proc/${pid}/fd/0 ]; do ${subscribed} && exit 0; usleep 10000; done; exit 1`,
    );
    if (outcome.exitCode !== 0) {
      const { exitCode, stderr } = await program.exit();
      throw new Error(`gpiomon ended with ${exitCode}: ${stderr}${await kernelLog(this.guest)}`);
    }
    return program;
  }

  async #succeed(command: string): Promise<string> {
    const { exitCode, stdout, stderr } = await this.guest.run(command);
    if (exitCode !== 0) {
      throw new Error(`${command} ended with ${exitCode}: ${stdout}${stderr}${await kernelLog(this.guest)}`);
    }
    return stdout;
  }
}

async function kernelLog(guest: GuestConsole): Promise<string> {
  return `guest's kernel log:\n${(await guest.run('dmesg | tail -n 20')).stdout}`;
}

/** Lines of the guest's kernel log that tell of a driver's trouble with its device, or of the kernel's own. */
export async function kernelComplaints(guest: GuestConsole): Promise<string[]> {
  const { stdout } = await guest.run('dmesg');
  // "nobody cared" comes from level handling gone wrong; gpio-virtio's own complaints name its device. Case matters:
  // "..MP-BIOS bug" is the emulated PC on a busy machine.
  const complaint =
    /WARNING:|BUG:|Oops|nobody cared|[Gg][Pp][Ii][Oo].*([Ff]ail|[Ee]rror|[Ii]nvalid|[Uu]nexpected)/;
  return stdout.split('\n').filter((line) => complaint.test(line));
}
