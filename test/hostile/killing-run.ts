import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { stringify } from 'yaml';
import { IRQ_BOTH, IRQ_FALLING, IRQ_RISING } from '../../src/gpio/chip.ts';
import { MSG_SET_VALUE, STATUS_OK } from '../../src/wire/virtio-gpio.ts';
import { buildFirmware, LINE_NAMES, offsetOf } from '../e2e/lab/firmware.ts';
import { Mosquitto } from '../e2e/lab/mosquitto.ts';
import { contradictions, inventedEdges, type ToldEdge, Wires } from './killing-edges.ts';
import { GuestParty } from './killing-guest-party.ts';
import { Journal, nowNs, until, Violation } from './killing-journal.ts';
import { ControlObserver, MqttObserver, PinsDriver, TOPIC } from './killing-observers.ts';
import { type Blow, type PartyName, type Round, roundText } from './killing-plan.ts';
import { SeededRandom } from './killing-random.ts';
import { elapsedMs, type Holdings, ServiceParty } from './killing-service.ts';

/** Lines that the test drives, with the levels that the firmware starts with. */
const DRIVEN: ReadonlyMap<string, 0 | 1> = new Map([
  ['IMU_INT', 0],
  ['BARO_DRDY', 0],
  ['ALS_INT', 0],
  ['BUTTON', 1],
  ['LID_OPEN', 0],
]);
const INPUTS = [...DRIVEN.keys()];
const NAMES: readonly string[] = LINE_NAMES.map((name, offset) => name || `line${offset}`);

/** Until all is well again after the last blow, whatever it was. The machine may be busy with other things. */
export const HEAL_LIMIT_MS = 60_000;

/** What the folder of the sockets may hold. */
const DOCUMENTED_FILES = /^(config\.yaml|control\.sock|pins\.sock|vm[12]\.sock(\.resume)?)$/;

function inputs(types: Readonly<Record<string, number>>): (readonly [number, number])[] {
  return Object.entries(types).map(([name, type]) => [LINE_NAMES.indexOf(name as 'BUTTON'), type] as const);
}

/** All parties, their traffic, and the rules that hold between them. */
export class KillingRun {
  readonly folder = mkdtempSync(join(tmpdir(), 'rg-kill-'));
  readonly journal = new Journal();
  readonly service: ServiceParty;
  readonly guests: readonly GuestParty[];
  readonly pins: PinsDriver;
  readonly control: ControlObserver;
  readonly mqtt: MqttObserver;
  readonly healsMs: number[] = [];
  readonly kills = new Map<string, number>();
  edges = 0;
  rounds = 0;
  readonly #broker: Mosquitto;
  #isBrokerUp = true;
  readonly #wires: Wires;
  readonly #random: SeededRandom;
  readonly #sockets: string;
  #traffic: 'off' | 'read' | 'full' = 'off';
  #isClosed = false;

  private constructor(broker: Mosquitto, seed: number, firmware: readonly string[]) {
    this.#broker = broker;
    this.#random = new SeededRandom(seed);
    this.#wires = new Wires(DRIVEN);
    this.#sockets = join(this.folder, 'run');
    mkdirSync(this.#sockets);
    const file = (name: string): string => join(this.#sockets, name);
    writeFileSync(file('config.yaml'), stringify(this.#config(file, firmware)));
    this.service = new ServiceParty(file('config.yaml'), this.journal);
    const guest = (name: string, options: ConstructorParameters<typeof GuestParty>[4]): GuestParty =>
      new GuestParty(name, this.folder, NAMES, this.journal, options);
    this.guests = [
      guest('vm1', {
        socketPath: file('vm1.sock'),
        inputs: inputs({
          IMU_INT: IRQ_BOTH,
          BARO_DRDY: IRQ_RISING,
          ALS_INT: IRQ_FALLING,
          BUTTON: IRQ_BOTH,
        }),
        outputs: [offsetOf('LED_STATUS')],
        held: [],
        inflight: false,
      }),
      guest('vm2', {
        socketPath: file('vm2.sock'),
        inputs: inputs({ BUTTON: IRQ_FALLING, LID_OPEN: IRQ_BOTH }),
        outputs: [offsetOf('LED_ERROR')],
        held: [offsetOf('LOOP_OUT')],
        inflight: true,
      }),
    ];
    this.pins = new PinsDriver(file('pins.sock'), this.#wires, this.journal);
    this.control = new ControlObserver(file('control.sock'), INPUTS, this.journal);
    this.mqtt = new MqttObserver(broker.labPort, this.journal);
  }

  /** Starts everybody. @param firmware its options */
  static async start(seed: number, firmware: readonly string[]): Promise<KillingRun> {
    const run = new KillingRun(await Mosquitto.start(), seed, firmware);
    run.service.start();
    for (const guest of run.guests) guest.start(run.#random.whole(0, 0xffff_ffff));
    void run.#driveLines();
    void run.#command();
    return run;
  }

  #config(file: (name: string) => string, firmware: readonly string[]): object {
    return {
      coprocessors: {
        hub: {
          memory: [{ type: 'memfd', sizeBytes: 0x4_0000, deviceAddress: 0x2000_0000 }],
          resourceTable: { deviceAddress: 0x2000_0000 },
          doorbell: { type: 'eventfd' },
          startTimeoutMs: 30_000,
          exec: { command: [buildFirmware('host'), `--pins=${file('pins.sock')}`, ...firmware] },
        },
      },
      chips: { hub: { coprocessor: 'hub', vdev: 0 } },
      exports: {
        vm1: { socket: file('vm1.sock'), lines: ['hub/*'] },
        vm2: { socket: file('vm2.sock'), lines: ['hub/*'] },
      },
      mqtt: {
        broker: `mqtt://127.0.0.1:${this.#broker.port}`,
        gateway: 'kill',
        lines: ['hub/*'],
        retry: { minMs: 50, maxMs: 500 },
        connectTimeoutMs: 3000,
      },
      control: { socket: file('control.sock') },
      log: { lines: [] },
    };
  }

  /** Levels from outside, at random, while there is traffic. */
  async #driveLines(): Promise<void> {
    while (!this.#isClosed) {
      if (this.#traffic === 'full') {
        const line = this.#random.pick(INPUTS);
        this.#isDriving = true;
        if (this.#random.chance(0.05)) await this.pins.burst(line, this.#random.whole(2, 300));
        else await this.pins.drive(line, this.#wires.level(line) === 1 ? 0 : 1);
        this.#isDriving = false;
      }
      await delay(this.#random.whole(0, 10));
    }
  }

  #isDriving = false;

  /** Commands of MQTT and of the control socket, for a line each. */
  async #command(): Promise<void> {
    for (let level = 0; !this.#isClosed; level = 1 - level) {
      if (this.#traffic === 'full') {
        this.mqtt.publish('hub/BUZZER/set', level === 1 ? 'ON' : 'OFF');
        await this.#set('SENSOR_PWR_EN', level === 1 ? 1 : 0);
      }
      await delay(this.#random.whole(20, 60));
    }
  }

  /** @returns whether the service says that it is so */
  async #set(line: string, level: 0 | 1): Promise<boolean> {
    try {
      const outcomes = await this.control.client?.set([{ line: `hub/${line}`, level }]);
      return outcomes?.[0]?.ok === true;
    } catch {
      return false;
    }
  }

  /** @throws Violation */
  async round(round: Round): Promise<void> {
    this.rounds++;
    this.journal.note('test', `round ${this.rounds}: ${roundText(round)}`);
    this.#traffic = round.traffic;
    const statuses = this.mqtt.statuses.length;
    for (const guest of this.guests) guest.say(round.traffic);
    const ends: Promise<void>[] = [];
    for (const blow of round.blows) {
      await delay(blow.pauseMs);
      ends.push(this.#strike(blow));
    }
    await Promise.all(ends);
    const healsNs = nowNs();
    await delay(round.tailMs);
    await this.#standing();
    await this.#calm();
    await this.#checkConfirmed();
    await this.agree();
    this.healsMs.push(elapsedMs(healsNs) - round.tailMs);
    this.#checkWill(round, statuses);
    await this.#probe();
    await this.#checkTidiness();
  }

  /** A killed service is `offline` for all who could hear it, until it is back. @throws Violation */
  #checkWill({ blows }: Round, since: number): void {
    const isKilled = blows.some(({ party, kind }) => party === 'service' && kind === 'kill');
    if (!isKilled || blows.some(({ party }) => party === 'broker')) return;
    const said = this.mqtt.statuses.slice(since).filter(({ topic }) => topic === `${TOPIC}/status`);
    const offline = said.findIndex(({ payload }) => payload === 'offline');
    if (offline < 0) throw new Violation('the service was killed, and never offline on MQTT');
  }

  async #strike({ party, kind, lastsMs, startKillMs }: Blow): Promise<void> {
    const what = `${party} ${kind}`;
    this.kills.set(what, (this.kills.get(what) ?? 0) + 1);
    this.journal.note('test', what);
    if (kind === 'freeze') return this.#freeze(party, lastsMs);
    await this.#kill(party);
    await delay(lastsMs);
    const started = this.#start(party);
    if (startKillMs !== null) {
      await delay(startKillMs);
      this.journal.note('test', `${party} is killed again`);
      this.kills.set(`${party} kill in start-up`, (this.kills.get(`${party} kill in start-up`) ?? 0) + 1);
      await this.#kill(party);
      await started;
      await this.#start(party);
    }
    await started;
  }

  async #freeze(party: PartyName, lastsMs: number): Promise<void> {
    if (party === 'firmware') {
      const pid = this.service.signalFirmware('SIGSTOP');
      await delay(lastsMs);
      if (pid !== 0) this.service.thaw(pid);
      return;
    }
    const freeze = this.#freezer(party);
    freeze(true);
    await delay(lastsMs);
    freeze(false);
    if (party === 'service') for (const guest of this.guests) guest.excuse();
  }

  #freezer(party: PartyName): (isFrozen: boolean) => void {
    if (party === 'service') return (isFrozen) => this.service.freeze(isFrozen);
    if (party === 'broker') return (isFrozen) => this.#broker.process.kill(isFrozen ? 'SIGSTOP' : 'SIGCONT');
    return (isFrozen) => this.#guest(party).freeze(isFrozen);
  }

  #guest(name: PartyName): GuestParty {
    const guest = this.guests.find((one) => one.name === name);
    if (guest === undefined) throw new RangeError(`there is no guest ${name}`);
    return guest;
  }

  async #kill(party: PartyName): Promise<void> {
    if (party === 'firmware') this.service.signalFirmware('SIGKILL');
    else if (party === 'service') await this.service.kill();
    else if (party === 'broker') {
      this.#isBrokerUp = false;
      await this.#broker.kill();
    } else await this.#guest(party).kill();
  }

  async #start(party: PartyName): Promise<void> {
    if (party === 'service') this.service.start();
    else if (party === 'vm1' || party === 'vm2') this.#guest(party).start(this.#random.whole(0, 0xffff_ffff));
    else if (party === 'broker') {
      try {
        await this.#broker.start();
        this.#isBrokerUp = true;
      } catch (error) {
        this.journal.note('broker', `did not start: ${error}`);
      }
    }
  }

  /** Resolves when everybody is there and connected. @throws Violation */
  async #standing(): Promise<void> {
    const missing = (): string[] => {
      const firmware = this.service.firmware();
      for (const guest of this.guests) guest.read();
      return [
        ...(this.service.isReady ? [] : ['the service']),
        ...(firmware.length === 1 ? [] : ['the firmware']),
        ...(this.#isBrokerUp ? [] : ['the broker']),
        ...(this.pins.isConnected ? [] : ['the pins']),
        ...(this.control.client ? [] : ['the control socket']),
        ...(this.mqtt.isConnected ? [] : ['the MQTT subscriber']),
        ...this.guests.filter(({ isServed }) => !isServed).map(({ name }) => name),
      ];
    };
    await until(
      () => `everybody is back; missing: ${missing().join(', ')}`,
      HEAL_LIMIT_MS,
      () => missing().length === 0,
    );
  }

  /** Ends the traffic: every request that was made is answered. */
  async #calm(): Promise<void> {
    this.#traffic = 'off';
    await Promise.all(this.guests.map((guest) => guest.idle(HEAL_LIMIT_MS)));
    await until('the driver of lines is idle', HEAL_LIMIT_MS, () => !this.#isDriving);
  }

  /** What a guest was told is set is set, whoever died since. @throws Violation */
  async #checkConfirmed(): Promise<void> {
    let wrong: string[] = [];
    await until(
      () => `outputs are what guests were told: ${wrong.join(', ')}`,
      HEAL_LIMIT_MS,
      async () => {
        const wires = await this.pins.levels();
        if (wires === null) return false;
        wrong = this.guests.flatMap(({ name, confirmed }) =>
          confirmed
            .filter(([line, level]) => wires[line] !== level)
            .map(([line, level]) => `${name} set ${NAMES[line]} to ${level}`),
        );
        return wrong.length === 0;
      },
    );
  }

  /** Sets every output anew, then waits until all know the same level of every line. @throws Violation */
  async agree(): Promise<void> {
    await this.#standing();
    const level = (): 0 | 1 => (this.#random.chance(0.5) ? 1 : 0);
    for (const guest of this.guests) {
      for (const output of guest.outputs) {
        const wanted = level();
        await until(`${guest.name} sets line ${output}`, HEAL_LIMIT_MS, async () => {
          return (await guest.ask(MSG_SET_VALUE, output, wanted)).status === STATUS_OK;
        });
      }
    }
    const [power, buzzer] = [level(), level()];
    await until('the control client sets a line', HEAL_LIMIT_MS, () => this.#set('SENSOR_PWR_EN', power));
    let published = 0;
    await until(`MQTT sets BUZZER to ${buzzer}`, HEAL_LIMIT_MS, async () => {
      // Of QoS 0: one may be lost with a connection, and the service may not have subscribed yet.
      if (published++ % 50 === 0) this.mqtt.publish('hub/BUZZER/set', buzzer === 1 ? 'ON' : 'OFF');
      return (await this.pins.levels())?.[offsetOf('BUZZER')] === buzzer;
    });
    let difference: string | null = '';
    await until(
      () => `all agree: ${difference}`,
      HEAL_LIMIT_MS,
      async () => {
        difference = await this.#difference();
        return difference === null;
      },
    );
    await this.#checkKept();
  }

  /** @returns who knows another level than the wires have; null when nobody does */
  async #difference(): Promise<string | null> {
    const wires = await this.pins.levels();
    if (wires === null) return 'the firmware is gone';
    const found: string[] = [];
    const compare = (who: string, levels: readonly (number | null | undefined)[]): void => {
      for (const [offset, wire] of wires.entries()) {
        if (levels[offset] !== wire)
          found.push(`${who} has ${NAMES[offset]} at ${levels[offset]}, not ${wire}`);
      }
    };
    for (const guest of this.guests) compare(guest.name, await guest.levels());
    try {
      const told = await this.control.client?.get(LINE_NAMES.map((_, offset) => `hub/#${offset}`));
      compare('control', told?.map(({ level }) => level) ?? []);
    } catch (error) {
      found.push(`control: ${error}`);
    }
    compare('MQTT', statesOf(this.mqtt));
    for (const topic of [`${TOPIC}/status`, `${TOPIC}/hub/status`]) {
      if (this.mqtt.latest.get(topic) !== 'online') found.push(`${topic} is ${this.mqtt.latest.get(topic)}`);
    }
    // What was driven last is what the wires have, unless the firmware started again meanwhile.
    for (const line of INPUTS) {
      const wire = wires[NAMES.indexOf(line)];
      if (wire !== this.#wires.level(line)) found.push(`the wire ${line} is at ${wire}`);
    }
    return found.length === 0 ? null : found.join('; ');
  }

  /** What the broker keeps is what a new subscriber learns. @throws Violation */
  async #checkKept(): Promise<void> {
    const late = new MqttObserver(this.#broker.labPort, this.journal, 'late mqtt');
    try {
      let missing = '';
      await until(
        () => `a new subscriber learns all levels: ${missing}`,
        HEAL_LIMIT_MS,
        () => {
          const known = statesOf(this.mqtt);
          const kept = statesOf(late);
          missing = NAMES.filter((_, offset) => kept[offset] !== known[offset]).join(', ');
          return missing === '' && late.latest.get(`${TOPIC}/status`) === 'online';
        },
      );
    } finally {
      await late.close();
    }
  }

  /** Who hears of edges, and which of them. */
  #listeners(): {
    readonly name: string;
    readonly edges: readonly ToldEdge[];
    hears(line: string): number[];
  }[] {
    const all = (): number[] => [0, 1];
    return [
      { name: 'control', edges: this.control.edges, hears: all },
      { name: 'MQTT', edges: this.mqtt.edges, hears: all },
      ...this.guests.map((guest) => ({
        name: guest.name,
        edges: guest.edges,
        hears: (line: string): number[] => {
          const interrupt = guest.interrupts.find(([name]) => name === line);
          if (interrupt === undefined) return [];
          return interrupt[1] === null ? [0, 1] : [interrupt[1]];
        },
      })),
    ];
  }

  /**
   * Edges flow again, and each is told once: all lines change there and back twice. The first time tells that whatever was
   * still owed has come.
   * @throws Violation
   */
  async #probe(): Promise<void> {
    await this.#changeAll();
    this.#checkEdges();
    await this.#changeAll();
    for (const line of INPUTS) {
      for (const { name, edges, hears } of this.#listeners()) {
        const told = edges.filter((edge) => edge.line === line).length;
        if (told !== hears(line).length)
          throw new Violation(`${name} was told ${told} edges of ${line}, which changed twice`);
      }
    }
    this.#checkEdges();
    // Firmware begins at these levels: without a change none is owed after its restart.
    for (const [line, level] of DRIVEN) {
      if (this.#wires.level(line) !== level) await this.#change(line, level);
    }
    this.#checkEdges();
    for (const guest of this.guests) guest.shorten();
  }

  async #changeAll(): Promise<void> {
    for (const line of INPUTS) {
      const level = this.#wires.level(line);
      await this.#change(line, level === 1 ? 0 : 1);
      await this.#change(line, level);
    }
  }

  /** Resolves when everybody who is to hear of it has. @throws Violation */
  async #change(line: string, level: 0 | 1): Promise<void> {
    const fromNs = nowNs();
    if (!(await this.pins.drive(line, level))) throw new Violation(`the firmware died by itself`);
    await until(
      () => `all hear that ${line} is ${level}: ${this.#deaf(line, level, fromNs).join(', ')} did not`,
      HEAL_LIMIT_MS,
      () => this.#deaf(line, level, fromNs).length === 0,
    );
  }

  #deaf(line: string, level: 0 | 1, fromNs: number): string[] {
    for (const guest of this.guests) guest.read();
    const isIt = (edge: ToldEdge): boolean =>
      edge.line === line && (edge.level ?? level) === level && (edge.edgeNs ?? edge.atNs) >= fromNs;
    return this.#listeners()
      .filter(({ edges, hears }) => hears(line).includes(level) && !edges.some(isIt))
      .map(({ name }) => name);
  }

  /** @throws Violation when an edge was told that did not happen */
  #checkEdges(): void {
    for (const { name, edges } of this.#listeners()) {
      this.edges += edges.length;
      for (const line of INPUTS) {
        const told = edges.filter((edge) => edge.line === line);
        const [invented] = inventedEdges(this.#wires.changesOf(line), told);
        if (invented !== undefined)
          throw new Violation(
            `${name} was told of an edge of ${line} that did not happen: ${JSON.stringify(invented)}; ` +
              `changes: ${JSON.stringify(this.#wires.changesOf(line).slice(-20))}`,
          );
        const [contradiction] = contradictions(told);
        if (contradiction !== undefined) throw new Violation(`${name}: ${contradiction}`);
      }
    }
    this.#wires.forget();
    this.control.edges = [];
    this.mqtt.edges = [];
    for (const guest of this.guests) guest.edges = [];
  }

  /** No zombie, nothing of former lives, no file that is not documented. @throws Violation */
  async #checkTidiness(): Promise<void> {
    await until(
      () => `it is tidy: ${this.service.untidiness()}`,
      HEAL_LIMIT_MS,
      () => this.service.untidiness() === null,
    );
    this.#checkFiles();
  }

  #checkFiles(allowed = DOCUMENTED_FILES): void {
    const odd = readdirSync(this.#sockets).filter((name) => !allowed.test(name));
    if (odd.length > 0) throw new Violation(`files are left: ${odd.join(', ')}`);
  }

  holdings(): Holdings {
    return this.service.holdings();
  }

  /** Ends the service in order. @throws Violation when that leaves anything behind */
  async stop(): Promise<void> {
    const code = await this.service.stop();
    if (code !== 0) throw new Violation(`the service ended with ${code}`);
    for (const topic of [`${TOPIC}/status`, `${TOPIC}/hub/status`])
      await until(`${topic} is offline`, HEAL_LIMIT_MS, () => this.mqtt.latest.get(topic) === 'offline');
    this.#checkFiles(/^(config\.yaml|vm[12]\.sock\.resume)$/);
  }

  /** Writes the journal into the folder, which stays. @returns its end */
  keepEvidence(): string {
    for (const guest of this.guests) {
      try {
        guest.read();
      } catch {
        // Its record is what is wanted.
      }
    }
    const text = this.journal.text();
    writeFileSync(join(this.folder, 'journal.txt'), text);
    this.#isKept = true;
    return text.split('\n').slice(-200).join('\n');
  }

  #isKept = false;

  /** Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.pins.close();
    this.control.close();
    await this.mqtt.close();
    for (const guest of this.guests) await guest.close();
    await this.service.close();
    await this.#broker.close();
    if (!this.#isKept) rmSync(this.folder, { recursive: true, force: true });
  }
}

function statesOf(observer: MqttObserver): (number | undefined)[] {
  return NAMES.map((name) => {
    const state = observer.latest.get(`${TOPIC}/hub/${name}/state`);
    if (state === undefined) return undefined;
    return state === 'ON' ? 1 : 0;
  });
}
