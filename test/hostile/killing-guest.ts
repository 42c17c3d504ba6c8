import { openSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { FrontEndError, KNOWN_PROTOCOL_FEATURES, VhostUserFrontEnd } from '../../src/testing/front-end.ts';
import { PROTOCOL_FEATURE } from '../../src/wire/vhost-user.ts';
import {
  EVENT_VALID,
  MSG_GET_DIRECTION,
  MSG_GET_VALUE,
  MSG_SET_DIRECTION,
  MSG_SET_IRQ_TYPE,
  MSG_SET_VALUE,
  STATUS_OK,
} from '../../src/wire/virtio-gpio.ts';
import { SeededRandom } from './killing-random.ts';

/**
 * A guest in a process of its own, to be killed: a driver that asks without a pause, and arms interrupts again as they come. It
 * writes down each thing at once, before it does it: what a kill leaves is what was.
 *
 * Records: `NS what ...`: `Q ID TYPE LINE VALUE` a request, `A ID STATUS VALUE` its answer, `X ID CODE` its failure, `E LINE STATUS` a returned
 * event buffer, `lost REASON`, `back`, `ready`, `idle` (nothing is open), `T TAG STATUS VALUE` an answer to `ask`.
 */
export interface GuestOptions {
  readonly socketPath: string;
  readonly logPath: string;
  /** Lines with interrupts: offset and type. */
  readonly inputs: readonly (readonly [number, number])[];
  /** Lines that it drives at random. */
  readonly outputs: readonly number[];
  /** Lines that it drives only when it is told to: nothing but a replay brings their levels back when firmware forgot them. */
  readonly held: readonly number[];
  /** Whether the front-end keeps what is in flight (INFLIGHT_SHMFD). */
  readonly inflight: boolean;
  readonly seed: number;
}

/** No answer in this time: the request is lost. Nothing that the test does takes so long. */
const ANSWER_LIMIT_MS = 60_000;
/** Longest timer of Node. */
const FOR_EVER_MS = 0x7fff_ffff;
const RETRY_PAUSE_MS = 20;

const options = JSON.parse(process.argv[2] ?? '') as GuestOptions;
const log = openSync(options.logPath, 'a');
const random = new SeededRandom(options.seed);
let guest: VhostUserFrontEnd;
let mode: 'off' | 'read' | 'full' = 'off';
let open = 0;
let requests = 0;

function say(...words: readonly (string | number)[]): void {
  writeSync(log, `${process.hrtime.bigint()} ${words.join(' ')}\n`);
}

async function ask(type: number, line: number, value = 0): Promise<{ status: number; value: number } | null> {
  const id = ++requests;
  open++;
  say('Q', id, type, line, value);
  try {
    const answer = await guest.request(type, line, value);
    say('A', id, answer.status, answer.value);
    return answer;
  } catch (error) {
    say('X', id, error instanceof FrontEndError ? error.code : String(error));
    return null;
  } finally {
    open--;
    if (open === 0 && mode === 'off') say('idle');
  }
}

async function untilOk(type: number, line: number, value: number): Promise<void> {
  while ((await ask(type, line, value))?.status !== STATUS_OK) await delay(RETRY_PAUSE_MS);
}

async function connected(): Promise<VhostUserFrontEnd> {
  const protocolFeatures =
    KNOWN_PROTOCOL_FEATURES | (options.inflight ? PROTOCOL_FEATURE.INFLIGHT_SHMFD : 0n);
  for (;;) {
    try {
      return await VhostUserFrontEnd.connect({
        socketPath: options.socketPath,
        protocolFeatures,
        timeoutMs: ANSWER_LIMIT_MS,
      });
    } catch {
      await delay(RETRY_PAUSE_MS);
    }
  }
}

/** As a machine monitor with a chardev that reconnects: the driver in the guest notices nothing. */
async function stayConnected(): Promise<void> {
  for (;;) {
    say('lost', await guest.disconnected(FOR_EVER_MS));
    for (;;) {
      try {
        await guest.reconnect('keep');
        say('back');
        break;
      } catch {
        await delay(RETRY_PAUSE_MS);
      }
    }
  }
}

/** One of several that ask at the same time. */
async function traffic(): Promise<void> {
  const inputs = options.inputs.map(([line]) => line);
  for (let asked = 1; ; asked++) {
    if (mode === 'off') {
      await delay(RETRY_PAUSE_MS);
      continue;
    }
    const isDrive = mode === 'full' && options.outputs.length > 0 && random.chance(0.5);
    let answer: { status: number } | null;
    if (isDrive) answer = await ask(MSG_SET_VALUE, random.pick(options.outputs), random.whole(0, 1));
    else answer = await ask(random.chance(0.9) ? MSG_GET_VALUE : MSG_GET_DIRECTION, random.pick(inputs));
    // Somewhat less than the machine can: others work on it, too.
    if (answer?.status !== STATUS_OK || asked % 16 === 0) await delay(random.whole(1, 8));
  }
}

async function setUp(): Promise<void> {
  for (const [line, type] of options.inputs) {
    await untilOk(MSG_SET_DIRECTION, line, 2);
    await untilOk(MSG_SET_IRQ_TYPE, line, type);
    guest.queueEvent(line);
  }
  for (const line of [...options.outputs, ...options.held]) {
    await untilOk(MSG_SET_VALUE, line, 0);
    await untilOk(MSG_SET_DIRECTION, line, 1);
  }
  say('ready');
}

/** `off`, `read`, `full`; `ask TAG TYPE LINE VALUE`. */
function command(text: string): void {
  const [what = '', tag = '', ...numbers] = text.split(' ');
  if (what === 'ask') {
    const [type = 0, line = 0, value = 0] = numbers.map(Number);
    void ask(type, line, value).then((answer) => say('T', tag, answer?.status ?? -1, answer?.value ?? 0));
  } else if (what === 'off' || what === 'read' || what === 'full') {
    mode = what;
    if (what === 'off' && open === 0) say('idle');
  }
}

process.stdin.setEncoding('utf8');
let rest = '';
process.stdin.on('data', (chunk: string) => {
  const lines = (rest + chunk).split('\n');
  rest = lines.pop() ?? '';
  for (const line of lines) command(line);
});
process.stdin.on('end', () => process.exit(0));

guest = await connected();
guest.onEvent(({ gpio, status }) => {
  say('E', gpio, status);
  // INVALID: nobody will tell of this line any more, which shows.
  if (status === EVENT_VALID) guest.queueEvent(gpio);
});
void stayConnected();
await setUp();
for (let asker = 0; asker < 4; asker++) void traffic();
