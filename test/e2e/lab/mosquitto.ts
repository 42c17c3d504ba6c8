import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import type { CertificateFiles } from './certificates.ts';
import { LabProcess } from './lab-process.ts';
import { literal } from './literal.ts';
import { rolesFile, type SubscriptionRules } from './mosquitto-roles.ts';
import { prerequisites, requireFile } from './prerequisites.ts';
import { ScratchFolder } from './scratch-folder.ts';

/** What the listener asks of the service under test. All of it may be left out: then anybody may do anything. */
export interface MosquittoOptions {
  /** Passwords by user name; who has none is refused. */
  readonly passwords?: Readonly<Record<string, string>>;
  /** Lines of an ACL file (mosquitto.conf(5), acl_file): what may be published, and what is delivered. */
  readonly acl?: readonly string[];
  /** Which subscriptions are refused, by a plugin: an ACL file accepts all of them and then delivers nothing. */
  readonly subscriptions?: SubscriptionRules;
  /** The broker's certificate, and the authority that clients must have theirs from. */
  readonly tls?: { readonly server: CertificateFiles; readonly clientAuthority: string };
  /** Whether sessions and retained messages outlive an orderly stop. */
  readonly persistent?: boolean;
  /** The port for the service under test; a free one when absent. */
  readonly port?: number;
  /** Further lines of mosquitto.conf. */
  readonly settings?: readonly string[];
}

const READY = /^mosquitto version \S+ running$/;
/** Another program may take a port between our finding it free and the broker's listening on it. */
const PORT_ATTEMPTS = 5;

/**
 * A real broker with a folder, and ports of the loopback interface, of its own. It keeps its ports over restarts.
 *
 * It listens twice: on `port` with all that the options ask, for the service under test, and on `labPort` for
 * everybody, so that observers see what became of the service's messages.
 */
export class Mosquitto {
  readonly #folder = new ScratchFolder();
  readonly #options: MosquittoOptions;
  #port = 0;
  #labPort = 0;
  #process: LabProcess | undefined;

  private constructor(options: MosquittoOptions) {
    this.#options = options;
  }

  /** Resolves when it accepts connections. @throws WaitError with its log */
  static async start(options: MosquittoOptions = {}): Promise<Mosquitto> {
    const broker = new Mosquitto(options);
    try {
      for (let attempt = 1; ; attempt += 1) {
        [broker.#port, broker.#labPort] = [options.port ?? (await freePort()), await freePort()];
        try {
          await broker.start();
          return broker;
        } catch (error) {
          if (attempt === PORT_ATTEMPTS || !/Address already in use/.test(String(error))) throw error;
        }
      }
    } catch (error) {
      await broker.close();
      throw error;
    }
  }

  get port(): number {
    return this.#port;
  }

  get labPort(): number {
    return this.#labPort;
  }

  /** For the service under test. */
  get url(): string {
    return `${this.#options.tls ? 'mqtts' : 'mqtt'}://127.0.0.1:${this.#port}`;
  }

  /** Its process and log, of the last start. @throws Error when it was never started */
  get process(): LabProcess {
    if (!this.#process) throw new Error('mosquitto was not started');
    return this.#process;
  }

  /** Starts it (again), with its options or some of them changed. @throws WaitError with its log */
  async start(changed: Partial<MosquittoOptions> = {}): Promise<void> {
    const { mosquitto } = prerequisites();
    const file = this.#folder.file('mosquitto.conf');
    writeFileSync(file, this.#configuration({ ...this.#options, ...changed }, mosquitto));
    this.#process = new LabProcess({ name: 'mosquitto', command: [mosquitto, '-c', file] });
    await this.#process.stderr.waitFor(READY);
  }

  /** Ends it in order, sessions and retained messages saved where it is persistent. Idempotent. */
  async stop(): Promise<void> {
    await this.#process?.close();
  }

  /** Ends it as a crash would. Idempotent. */
  async kill(): Promise<void> {
    this.#process?.kill('SIGKILL');
    await this.#process?.exited;
  }

  /** Resolves when a client has subscribed to a topic filter since the last start. @throws WaitError */
  async subscribed(clientId: string, filter: string): Promise<void> {
    // log_type subscribe: "CLIENT QOS FILTER"; "+", "#", "/" and letters need no escapes beyond those.
    const pattern = `^${literal(clientId)} \\d ${literal(filter)}$`;
    await this.process.stderr.waitFor(new RegExp(pattern));
  }

  /** Idempotent. */
  async close(): Promise<void> {
    await this.stop();
    this.#folder.close();
  }

  #configuration(options: MosquittoOptions, mosquitto: string): string {
    const { tls, passwords, acl, subscriptions, persistent, settings } = options;
    const data = this.#folder.file('data');
    mkdirSync(data, { recursive: true });
    const text = (name: string, content: string): string => {
      writeFileSync(this.#folder.file(name), content, { mode: 0o600 });
      return this.#folder.file(name);
    };
    const anybody = passwords === undefined && subscriptions === undefined;
    return [
      // It would change to a user of its own, who may not enter our folder.
      `user ${userInfo().username}`,
      'per_listener_settings true',
      'log_dest stderr',
      'log_timestamp false',
      ...['error', 'warning', 'notice', 'information', 'subscribe'].map((type) => `log_type ${type}`),
      ...(persistent ? ['persistence true', `persistence_location ${data}/`] : []),
      // Observers must not lose what the service was not allowed to lose. 0, no limit, makes version 2.0 disconnect a client of
      // which it has refused a message.
      'max_queued_messages 1000000',
      'queue_qos0_messages true',
      ...(settings ?? []),
      `listener ${this.#port} 127.0.0.1`,
      `allow_anonymous ${anybody}`,
      ...(passwords ? [`password_file ${this.#passwordFile(passwords, mosquitto)}`] : []),
      ...(acl ? [`acl_file ${text('acl', `${acl.join('\n')}\n`)}`] : []),
      ...(subscriptions
        ? [
            `plugin ${rolesPlugin(mosquitto)}`,
            `plugin_opt_config_file ${text('roles.json', rolesFile(subscriptions))}`,
          ]
        : []),
      ...(tls
        ? [
            `certfile ${tls.server.cert}`,
            `keyfile ${tls.server.key}`,
            `cafile ${tls.clientAuthority}`,
            'require_certificate true',
          ]
        : []),
      `listener ${this.#labPort} 127.0.0.1`,
      'allow_anonymous true',
      '',
    ].join('\n');
  }

  #passwordFile(passwords: Readonly<Record<string, string>>, mosquitto: string): string {
    const file = this.#folder.file('passwords');
    writeFileSync(file, '', { mode: 0o600 });
    const program = requireFile(
      join(dirname(mosquitto), '../bin/mosquitto_passwd'),
      'bash test/e2e/setup.sh',
    );
    for (const [user, password] of Object.entries(passwords)) {
      execFileSync(program, ['-b', file, user, password], { stdio: 'pipe' });
    }
    return file;
  }
}

function rolesPlugin(mosquitto: string): string {
  // setup.sh has made sure of x86-64.
  const path = join(dirname(mosquitto), '../lib/x86_64-linux-gnu/mosquitto_dynamic_security.so');
  return requireFile(path, 'bash test/e2e/setup.sh');
}

/** A port of the loopback interface on which nobody listens. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('a TCP server has no port');
  return address.port;
}
