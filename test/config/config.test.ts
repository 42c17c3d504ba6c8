import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ConfigError, loadConfig, MAX_CONFIG_SIZE_BYTES, parseConfig } from '../../src/config/config.ts';

const FULL = `coprocessors:
  hub:
    memory:
      - { type: memfd, sizeBytes: 256KiB, deviceAddress: 0x20000000 }
      - { type: file, path: sram.bin, sizeBytes: 0x10000, deviceAddress: 0x30000000 }
      - { type: uio, device: uio0, deviceAddress: 0x40000000 }
      - { type: devmem, physicalAddress: 0x90000000, sizeBytes: 1MiB, deviceAddress: 0x50000000 }
    resourceTable: { deviceAddress: 0x20000000 }
    doorbell: { type: eventfd }
    exec: { command: [./sensor-hub, --lines=16], env: { TRACE: '1' }, cwd: run }
  board:
    memory: [{ type: uio, device: /dev/uio1, map: 1, offset: 0x100, deviceAddress: 0 }]
    resourceTable: { elf: fw/hub.elf, section: '.resource_table' }
    doorbell: { type: uio, device: ./uio1, map: 2, offset: 0x10, encoding: constant, value: 5 }
    startTimeoutMs: 1
    requestTimeoutMs: 450
    takeOver: true
  slow:
    memory: [{ type: file, path: /dev/shm/x, deviceAddress: 0 }]
    resourceTable: { deviceAddress: 0x1000 }
    doorbell: { type: poll }
  qemu:
    memory: [{ type: file, path: /dev/shm/y, deviceAddress: 0 }]
    resourceTable: { deviceAddress: 0x1000 }
    doorbell: { type: socket, path: db.sock }
    exec: { command: [qemu-system-arm, -M, lm3s6965evb] }
chips:
  hub: { coprocessor: hub }
  board:
    type: coprocessor
    coprocessor: board
    vdev: 1
    reads: through
    lineSettings: { '*': { onRelease: input }, '#3': { debounceMs: 5, activeLow: true } }
  soc: { type: gpiochip, path: gpiochip0, lineSettings: { RELAY: { initial: low } } }
  other: { type: gpiochip, path: ./dev/gpiochip1 }
  sim: { type: sim, lines: 32 }
exports:
  vm1:
    socket: vm1.sock
    lines:
      - 'hub/*'
      - { line: 'hub/#13', name: imu, access: read, role: input, debounceMs: 20 }
      - sim/sim31
  vm2: { socket: /run/vm2.sock, protocol: virtio-gpio, pollUs: 0, reconnectGraceMs: 0, lines: ['*'] }
mqtt:
  broker: mqtts://broker.example:8883
  gateway: north
  protocolVersion: 3.1.1
  username: gateway
  password: { file: secrets/mqtt }
  tls: { ca: ca.pem, cert: /tls/cert.pem, key: /tls/key.pem }
  topics: { event: { qos: 1 } }
  homeAssistant: {}
  lines:
    - { line: 'hub/LID', name: lid, access: read, role: input, deviceClass: opening }
    - hub/*
control: { socket: control.sock, group: gpio, access: read }
log: { level: debug, lines: [] }
`;

describe('parseConfig', () => {
  it('fills in defaults, understands sizes and resolves paths against the folder of the file', () => {
    const config = parseConfig(FULL, '/etc/rproc/gpio.yaml');
    expect(config.coprocessors.hub).toEqual({
      memory: [
        { type: 'memfd', sizeBytes: 0x4_0000, deviceAddress: 0x2000_0000 },
        {
          type: 'file',
          path: '/etc/rproc/sram.bin',
          offset: 0,
          sizeBytes: 0x1_0000,
          deviceAddress: 0x3000_0000,
        },
        { type: 'uio', device: 'uio0', map: 0, offset: 0, deviceAddress: 0x4000_0000 },
        { type: 'devmem', physicalAddress: 0x9000_0000, sizeBytes: 0x10_0000, deviceAddress: 0x5000_0000 },
      ],
      resourceTable: { deviceAddress: 0x2000_0000 },
      doorbell: { type: 'eventfd' },
      exec: {
        command: ['/etc/rproc/sensor-hub', '--lines=16'],
        env: { TRACE: '1' },
        cwd: '/etc/rproc/run',
      },
      startTimeoutMs: 5000,
      requestTimeoutMs: 200,
      restart: 'on-failure',
      rpmsgBufferBytes: 512,
      takeOver: false,
    });
    expect(config.coprocessors.board).toEqual({
      memory: [{ type: 'uio', device: '/dev/uio1', map: 1, offset: 0x100, deviceAddress: 0 }],
      resourceTable: { elf: '/etc/rproc/fw/hub.elf', section: '.resource_table' },
      doorbell: {
        type: 'uio',
        device: '/etc/rproc/uio1',
        map: 2,
        offset: 0x10,
        encoding: 'constant',
        value: 5,
      },
      startTimeoutMs: 1,
      requestTimeoutMs: 450,
      restart: 'on-failure',
      rpmsgBufferBytes: 512,
      takeOver: true,
    });
    expect(config.coprocessors.slow?.doorbell).toEqual({ type: 'poll', intervalMs: 10 });
    expect(config.coprocessors.qemu?.doorbell).toEqual({ type: 'socket', path: '/etc/rproc/db.sock' });
    expect(config.coprocessors.qemu?.exec?.command[0]).toBe('qemu-system-arm');
    expect(config.chips).toEqual({
      hub: {
        type: 'coprocessor',
        coprocessor: 'hub',
        vdev: 0,
        dialect: 'auto',
        directions: 'doc',
        lineSettings: {},
      },
      board: {
        type: 'coprocessor',
        coprocessor: 'board',
        vdev: 1,
        dialect: 'auto',
        directions: 'doc',
        reads: 'through',
        lineSettings: { '*': { onRelease: 'input' }, '#3': { debounceMs: 5, activeLow: true } },
      },
      sim: { type: 'sim', lines: 32, lineSettings: {} },
      soc: { type: 'gpiochip', path: '/dev/gpiochip0', lineSettings: { RELAY: { initial: 'low' } } },
      other: { type: 'gpiochip', path: '/etc/rproc/dev/gpiochip1', lineSettings: {} },
    });
    expect(config.exports).toEqual({
      vm1: {
        socket: '/etc/rproc/vm1.sock',
        protocol: 'virtio-gpio',
        metuxReply: '2021',
        pollUs: 50,
        reconnectGraceMs: 2000,
        resume: true,
        lines: [
          { line: 'hub/*', access: 'write', role: 'any' },
          { line: 'hub/#13', name: 'imu', access: 'read', role: 'input', debounceMs: 20 },
          { line: 'sim/sim31', access: 'write', role: 'any' },
        ],
      },
      vm2: {
        socket: '/run/vm2.sock',
        protocol: 'virtio-gpio',
        metuxReply: '2021',
        pollUs: 0,
        reconnectGraceMs: 0,
        resume: true,
        lines: [{ line: '*', access: 'write', role: 'any' }],
      },
    });
    expect(config.log).toEqual({ level: 'debug', lines: [] });
    expect(config.control).toEqual({
      enabled: true,
      socket: '/etc/rproc/control.sock',
      group: 'gpio',
      access: 'read',
    });
    expect(config.mqtt).toEqual({
      broker: 'mqtts://broker.example:8883',
      baseTopic: 'rproc-gpio',
      gateway: 'north',
      protocolVersion: '3.1.1',
      username: 'gateway',
      password: { file: '/etc/rproc/secrets/mqtt' },
      tls: { ca: '/etc/rproc/ca.pem', cert: '/tls/cert.pem', key: '/tls/key.pem' },
      keepaliveSeconds: 60,
      connectTimeoutMs: 10_000,
      retry: { minMs: 500, maxMs: 30_000 },
      topics: {
        status: { qos: 1, retain: true },
        state: { qos: 1, retain: true },
        direction: { qos: 1, retain: true },
        event: { qos: 1, retain: false },
        result: { qos: 0, retain: false },
        diagnostics: { qos: 0, retain: true },
        commandQos: 1,
      },
      eventQueueLimit: 10_000,
      homeAssistant: { discoveryPrefix: 'homeassistant' },
      lines: [
        { line: 'hub/LID', name: 'lid', access: 'read', role: 'input', deviceClass: 'opening' },
        { line: 'hub/*', access: 'write', role: 'any' },
      ],
    });
  });

  it('needs no more than a chip', () => {
    expect(parseConfig('chips: { sim: { type: sim, lines: 2 } }', 'a.yaml')).toEqual({
      coprocessors: {},
      chips: { sim: { type: 'sim', lines: 2, lineSettings: {} } },
      exports: {},
      control: { enabled: true, access: 'write' },
      log: { level: 'info', lines: ['*'] },
    });
  });

  it('allows a few aliases, and a byte order mark', () => {
    const { chips } = parseConfig('\uFEFFchips: { a: &sim { type: sim, lines: 2 }, b: *sim }', 'a.yaml');
    expect(chips.b).toEqual({ type: 'sim', lines: 2, lineSettings: {} });
  });

  it.each([
    ['65536', 65536],
    ['0x10000', 65536],
    ['64KiB', 65536],
    ['2MiB', 2 ** 21],
    ['1GiB', 2 ** 30],
  ])('reads the size %s', (written, sizeBytes) => {
    const config = parseConfig(
      withMemory(`{ type: file, path: x, sizeBytes: ${written}, deviceAddress: 0 }`),
      'a',
    );
    expect(config.coprocessors.hub?.memory[0]?.sizeBytes).toBe(sizeBytes);
  });

  it('never throws anything but ConfigError', () => {
    const word = fc.constantFrom(
      ...['chips', 'exports', 'log', 'sim', 'lines', 'type', ': ', '\n', '  ', '- ', '{', '}', '[', ']', ','],
      ...[
        '&a ',
        '*a',
        '!x ',
        '"',
        "'",
        '|',
        '#',
        '*',
        'hub/*',
        '0x10',
        '-1',
        'null',
        '---',
        '<<',
        '? ',
        '%',
        '\t',
      ],
    );
    const noise = fc.array(word, { maxLength: 40 }).map((words) => words.join(''));
    const damaged = fc
      .tuple(fc.nat(FULL.length), fc.nat(20), noise)
      .map(([at, length, text]) => FULL.slice(0, at) + text + FULL.slice(at + length));
    fc.assert(
      fc.property(fc.oneof(noise, damaged, fc.string({ unit: 'binary' })), (text) => {
        try {
          parseConfig(text, 'a.yaml');
        } catch (error) {
          expect(error).toBeInstanceOf(ConfigError);
          const { line, column, message } = error as ConfigError;
          expect(message).toMatch(/^a\.yaml:\d+:\d+: .+; .+/s);
          expect(line).toBeGreaterThan(0);
          expect(column).toBeGreaterThan(0);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe('loadConfig', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'rproc-gpio-config-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  function fileOf(content: string | Uint8Array): string {
    const file = join(folder, 'a.yaml');
    writeFileSync(file, content);
    return file;
  }

  it('reads a file', () => {
    const config = loadConfig(fileOf(FULL));
    expect(config.exports.vm1?.socket).toBe(join(folder, 'vm1.sock'));
  });

  it('reads a file of the largest size, and refuses a larger one', () => {
    const chips = 'chips: { sim: { type: sim, lines: 2 } }\n#';
    const largest = chips.padEnd(MAX_CONFIG_SIZE_BYTES, '.');
    expect(loadConfig(fileOf(largest)).chips.sim).toEqual({ type: 'sim', lines: 2, lineSettings: {} });
    const error = errorOf(() => loadConfig(fileOf(`${largest}.`)));
    expect(error.message).toBe(
      `${join(folder, 'a.yaml')}: the file is too large; expected at most 1048576 bytes of YAML`,
    );
    expect(error).toMatchObject({ line: 0, column: 0, key: '' });
  });

  it('does not read an endless file to its end', () => {
    expect(errorOf(() => loadConfig('/dev/zero')).message).toContain('too large');
  });

  it('reads a pipe', () => {
    const script = `import { loadConfig } from './src/config/config.ts';
      console.log(JSON.stringify(loadConfig('/dev/stdin').chips));`;
    // The shell makes a pipe; Node itself would make a socket, which cannot be opened by a path.
    const shell = 'printf %s "$2" | "$0" --import tsx --input-type=module -e "$1"';
    const yaml = 'chips: { a: { type: sim, lines: 2 } }';
    const output = execFileSync('sh', ['-c', shell, process.execPath, script, yaml]);
    expect(JSON.parse(output.toString())).toEqual({ a: { type: 'sim', lines: 2, lineSettings: {} } });
  });

  it('says what cannot be read', () => {
    const missing = join(folder, 'missing.yaml');
    expect(errorOf(() => loadConfig(missing)).message).toBe(
      `${missing}: cannot be read (ENOENT); name the file with -c FILE`,
    );
    expect(errorOf(() => loadConfig(folder)).message).toBe(
      `${folder}: cannot be read (EISDIR); expected a readable file`,
    );
    const binary = fileOf(Uint8Array.of(0x7f, 0xff, 0xfe));
    expect(errorOf(() => loadConfig(binary)).message).toContain('is no UTF-8 text');
  });

  it('refuses thousands of aliases soon, and takes an alias for the last value of its name', () => {
    const many = Array.from({ length: 20_000 }, (_, i) => `&a${i} 1, *a${i}`).join(', ');
    const before = performance.now();
    expect(() => parseConfig(`x: [${many}]`, 'x.yaml')).toThrow(
      'there are more than 1000 aliases; write the values out',
    );
    // Looking each of them up took minutes.
    expect(performance.now() - before).toBeLessThan(5000);
    const text = 'chips: { a: &s { type: sim, lines: 2 }, b: &s { type: sim, lines: 3 }, c: *s }';
    expect(parseConfig(text, 'x.yaml').chips.c).toMatchObject({ lines: 3 });
  });
});

function withMemory(memory: string): string {
  return `coprocessors:
  hub:
    memory: [${memory}]
    resourceTable: { elf: x.elf, section: '.resource_table' }
    doorbell: { type: poll }
chips: { hub: { coprocessor: hub } }
`;
}

function errorOf(action: () => unknown): ConfigError {
  try {
    action();
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error('the configuration was accepted');
}
