import { chmodSync, writeFileSync } from 'node:fs';
import type { Answer, CommandName, Commands, EdgeNews, News } from './kernel-agent-protocol.ts';
import { LabProcess } from './lab-process.ts';
import { LineLog } from './line-log.ts';
import { prerequisites, REPOSITORY } from './prerequisites.ts';
import { ScratchFolder } from './scratch-folder.ts';
import type { UmlDevice } from './uml-guest.ts';

const BOOT_LIMIT_MS = 120_000;
const ANSWER_LIMIT_MS = 60_000;

/**
 * Process 1. The root is the host's, read-only: nothing that runs here changes a file of the host. What is written goes to
 * a /tmp of its own. The kernel has no source of randomness and Node waits for it: what it gets is no secret, nor need be.
 */
const INIT = `#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t configfs configfs /sys/kernel/config
mount -t debugfs debugfs /sys/kernel/debug
# A checkout below /tmp stays where it is.
mount -t tmpfs tmpfs /mnt
case '${REPOSITORY}' in /tmp/*)
  mkdir -p '/mnt${REPOSITORY.replace(/^\/tmp/, '')}'
  mount --bind '${REPOSITORY}' '/mnt${REPOSITORY.replace(/^\/tmp/, '')}' ;;
esac
mount --rbind /mnt /tmp
perl -e 'my $seed = pack("iia32", 256, 32, "not a secret");' \\
  -e 'open(my $random, ">", "/dev/random") or die; ioctl($random, 0x40085203, $seed) or die'
stty -echo -onlcr
dmesg -n 1
cd '${REPOSITORY}'
'${process.execPath}' --import tsx test/e2e/lab/kernel-agent.ts
/bin/busybox poweroff -f
`;

/** The agent could not do what it was asked for. */
export class AgentError extends Error {
  readonly code: string;

  constructor(command: string, error: { readonly code: string; readonly message: string }) {
    super(`${command}: ${error.message}`);
    this.code = error.code;
  }
}

/**
 * A User-Mode Linux kernel with the host's files, so that this checkout, Node and the host's programs run on a kernel that has
 * GPIO chips. kernel-agent.ts does there what a test asks for.
 */
export class UmlHostRoot {
  readonly process: LabProcess;
  /** What the agent's consumers were told. */
  readonly edges: EdgeNews[] = [];
  /** Everything that the agent says by itself, as JSON, for waiting. */
  readonly news = new LineLog('kernel agent');
  readonly #folder: ScratchFolder;
  readonly #answers = new LineLog('kernel agent: answers');
  readonly #edgeLog = new LineLog('kernel agent: edges');
  readonly #programs = new Map<number, LineLog>();
  #nextId = 1;

  private constructor(process: LabProcess, folder: ScratchFolder) {
    this.process = process;
    this.#folder = folder;
    process.stdout.follow(
      (line) => this.#dispatch(line),
      (reason) => {
        this.news.end(reason);
        this.#answers.end(reason);
        this.#edgeLog.end(reason);
        for (const output of this.#programs.values()) output.end(reason);
      },
    );
  }

  /** Boots, with vhost-user devices; resolves when the agent takes commands. @throws WaitError with the end of the console */
  static async boot(devices: readonly UmlDevice[] = []): Promise<UmlHostRoot> {
    const { umlKernel } = prerequisites();
    const folder = new ScratchFolder();
    const init = folder.file('init');
    writeFileSync(init, INIT);
    chmodSync(init, 0o755);
    const process = new LabProcess({
      name: 'UML on the host root',
      command: [
        umlKernel,
        'mem=512M',
        'quiet',
        'rootfstype=hostfs',
        'rootflags=/',
        'ro',
        `init=${init}`,
        ...devices.map(({ socketPath, deviceId }) => `virtio_uml.device=${socketPath}:${deviceId}`),
        'con0=fd:0,fd:1',
        'con=null',
        'ssl=null',
        `uml_dir=${folder.path}/`,
      ],
      // As in UmlGuest.
      env: { GLIBC_TUNABLES: 'glibc.pthread.rseq=0', TMPDIR: folder.path },
      killSession: true,
    });
    const kernel = new UmlHostRoot(process, folder);
    try {
      await kernel.news.waitFor(/^{"kind":"ready"/, { limitMs: BOOT_LIMIT_MS });
    } catch (error) {
      await kernel.close();
      throw error;
    }
    return kernel;
  }

  /** Has the agent do something. @throws AgentError when it cannot, WaitError when it does not answer */
  async do<Name extends CommandName>(
    command: Name,
    parameters: Commands[Name]['takes'],
  ): Promise<Commands[Name]['gives']> {
    const id = this.#nextId;
    this.#nextId += 1;
    this.process.write(`${JSON.stringify({ id, command, parameters })}\n`);
    const line = await this.#answers.waitFor(new RegExp(`"id":${id}[,}]`), { limitMs: ANSWER_LIMIT_MS });
    const { value, error } = JSON.parse(line) as Answer;
    if (error !== undefined) throw new AgentError(command, error);
    return value as Commands[Name]['gives'];
  }

  /** What a started program printed, both its outputs. */
  outputOf(pid: number): LineLog {
    const output = this.#programs.get(pid) ?? new LineLog(`program ${pid}`);
    this.#programs.set(pid, output);
    return output;
  }

  /** Resolves with the edges from index `from` on once there are `count`. @throws WaitError */
  async edgesFrom(from: number, count: number): Promise<readonly EdgeNews[]> {
    await this.#edgeLog.waitForCount(from + count);
    return this.edges.slice(from);
  }

  #dispatch(line: string): void {
    // The kernel's own messages are on the console as well, and its first ones come before they are turned off.
    if (!line.startsWith('{"kind":')) return;
    const message = JSON.parse(line) as News | Answer;
    if (message.kind === 'answer') return this.#answers.push(line);
    if (message.kind === 'edge') {
      this.edges.push(message);
      this.#edgeLog.push(line);
    }
    if (message.kind === 'line') this.outputOf(message.pid).push(message.text);
    this.news.push(line);
  }

  /** Ends the kernel as if its power were cut. Idempotent. */
  async close(): Promise<void> {
    await this.process.close();
    this.#folder.close();
  }
}
