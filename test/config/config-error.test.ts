import { describe, expect, it } from 'vitest';
import { ConfigError, parseConfig } from '../../src/config/config.ts';
import { formatPath } from '../../src/config/config-error.ts';

const GOOD = `coprocessors:
  hub:
    memory:
      - { type: memfd, sizeBytes: 64KiB, deviceAddress: 0x20000000 }
    resourceTable: { deviceAddress: 0x20000000 }
    doorbell: { type: eventfd }
    exec:
      command: [./sensor-hub]
    requestTimeoutMs: 200
chips:
  hub: { coprocessor: hub }
  sim: { type: sim, lines: 4 }
exports:
  vm1:
    socket: vm1.sock
    lines: ['hub/*', sim/sim0]
`;

/** [what, text of GOOD, what stands there instead, the message from the line on] */
const CASES: [string, string, string, string][] = [
  [
    'an unknown key at the top',
    'exports:',
    'exprots:',
    '13:1: exprots: unknown key; did you mean "exports"?',
  ],
  [
    'an unknown key that resembles none',
    'requestTimeoutMs: 200',
    'colour: red',
    '9:5: coprocessors.hub.colour: unknown key; known keys: memory, resourceTable, doorbell, exec, remoteproc, startTimeoutMs, requestTimeoutMs, restart, rpmsgBufferBytes, takeOver',
  ],
  [
    'a mistyped key, which is not called missing as well',
    'command:',
    'comand:',
    '8:7: coprocessors.hub.exec.comand: unknown key; did you mean "command"?',
  ],
  [
    'a key of a later issue',
    'exports:',
    'metrics: {}\nexports:',
    '13:1: metrics: unknown key; known keys: coprocessors, chips, exports, mqtt, control, log',
  ],
  [
    'a missing key, at the map that lacks it',
    'socket: vm1.sock',
    'pollUs: 0',
    '14:3: exports.vm1.socket: is missing; expected a path',
  ],
  [
    'a wrong type',
    'socket: vm1.sock',
    'socket: [vm1.sock]',
    '15:13: exports.vm1.socket: is a list; expected a path',
  ],
  [
    'a number out of range',
    'requestTimeoutMs: 200',
    'requestTimeoutMs: 500',
    '9:23: coprocessors.hub.requestTimeoutMs: is 500; expected a whole number of ms from 10 to 450',
  ],
  [
    'text in place of a number',
    'requestTimeoutMs: 200',
    'requestTimeoutMs: fast',
    '9:23: coprocessors.hub.requestTimeoutMs: is "fast"; expected a whole number of ms from 10 to 450',
  ],
  [
    'an empty value',
    'requestTimeoutMs: 200',
    'requestTimeoutMs:',
    '9:5: coprocessors.hub.requestTimeoutMs: is empty; expected a whole number of ms from 10 to 450',
  ],
  [
    'a size with a wrong unit',
    '64KiB',
    '64KB',
    '4:35: coprocessors.hub.memory[0].sizeBytes: is "64KB"; expected a size from 1 to 4GiB in bytes, such as 65536, 0x10000, "64KiB" or "1MiB"',
  ],
  [
    'a size beyond the address space',
    '64KiB',
    '5GiB',
    '4:35: coprocessors.hub.memory[0].sizeBytes: is "5GiB"; expected a size from 1 to 4GiB in bytes, such as 65536, 0x10000, "64KiB" or "1MiB"',
  ],
  [
    'an address that is not aligned, as the file has it',
    'deviceAddress: 0x20000000 }\n    doorbell',
    'deviceAddress: 0x20000002 }\n    doorbell',
    '5:37: coprocessors.hub.resourceTable.deviceAddress: is 0x20000002; expected an address from 0 to 0xfffffffc that is a multiple of 4',
  ],
  [
    'an unknown form',
    'type: eventfd',
    'type: mailbox',
    '6:23: coprocessors.hub.doorbell.type: is "mailbox"; expected one of eventfd, socket, uio, poll',
  ],
  [
    'a form without its type',
    '{ type: eventfd }',
    '{ path: x.sock }',
    '6:5: coprocessors.hub.doorbell.type: is missing; expected one of eventfd, socket, uio, poll',
  ],
  [
    'text in place of a map',
    '{ type: eventfd }',
    'eventfd',
    '6:15: coprocessors.hub.doorbell: is "eventfd"; expected a map with a type: one of eventfd, socket, uio, poll',
  ],
  [
    'an unknown type of chip',
    'type: sim',
    'type: simulated',
    '12:16: chips.sim.type: is "simulated"; expected "gpiochip", "rpmsg", "sim", or none for a chip of a co-processor',
  ],
  [
    'a bad name',
    '  vm1:',
    '  vm 1:',
    '14:3: exports.vm 1: the name is "vm 1"; expected a name of 1 to 32 letters, digits, "-" and "_" that begins with a letter or digit',
  ],
  [
    'a list of no lines',
    "['hub/*', sim/sim0]",
    '[]',
    '16:12: exports.vm1.lines: is an empty list; expected a list of at least one line such as ["hub/*"]',
  ],
  [
    'a selector without a line',
    "'hub/*'",
    'hub',
    '16:13: exports.vm1.lines[0]: is "hub"; expected CHIP/LINE, as in "hub/IMU_INT", "hub/#13" (by offset), "hub/*" or "*"',
  ],
  [
    'an unknown access',
    "'hub/*'",
    '{ line: hub/A, access: rw }',
    '16:36: exports.vm1.lines[0].access: is "rw"; expected one of read, write, owner',
  ],
  [
    'a chip of an unknown co-processor',
    'coprocessor: hub',
    'coprocessor: hab',
    '11:23: chips.hub.coprocessor: no co-processor is named "hab"; did you mean "hub"?',
  ],
  [
    'a selector of an unknown chip',
    'sim/sim0',
    'sin/sim0',
    '16:22: exports.vm1.lines[1]: "sin/sim0" names no chip; did you mean "sim"?',
  ],
  [
    'a line that does not exist',
    'sim/sim0',
    'sim/sim4',
    '16:22: exports.vm1.lines[1]: "sim/sim4" is no line; "sim" has the lines sim0 (#0) to sim3 (#3)',
  ],
  [
    'an offset that does not exist',
    'sim/sim0',
    "'sim/#4'",
    '16:22: exports.vm1.lines[1]: "sim/#4" is no line; "sim" has the lines sim0 (#0) to sim3 (#3)',
  ],
  [
    'a glob that matches no line',
    'sim/sim0',
    "'sim/*9'",
    '16:22: exports.vm1.lines[1]: "sim/*9" is no line; "sim" has the lines sim0 (#0) to sim3 (#3)',
  ],
  [
    'a logged line of an unknown chip',
    'exports:',
    'log: { lines: [fpga/x] }\nexports:',
    '13:16: log.lines[0]: "fpga/x" names no chip; chips: hub, sim',
  ],
  [
    'one name for several lines',
    "'hub/*'",
    "{ line: 'hub/*', name: imu }",
    '16:36: exports.vm1.lines[0].name: is one name for all lines of "hub/*"; rename lines one by one, without "*" and "?"',
  ],
  [
    'one name twice in a device',
    "'hub/*', sim/sim0",
    '{ line: hub/A, name: x }, { line: hub/B, name: x }',
    '16:60: exports.vm1.lines[1].name: lines[0] has the name "x" already; choose another name',
  ],
  [
    'one line twice in a device',
    "'hub/*', sim/sim0",
    'sim/sim0, sim/sim0',
    '16:23: exports.vm1.lines[1]: lines[0] is "sim/sim0" already; list a line once',
  ],
  [
    'two exports on one socket',
    'exports:',
    'exports:\n  vm0: { socket: ./vm1.sock, lines: [sim/sim1] }',
    '16:13: exports.vm1.socket: /etc/vm1.sock is the socket of "vm0" already; give every export a socket of its own',
  ],
  [
    'two owners of one line',
    "    lines: ['hub/*', sim/sim0]",
    '    lines: [{ line: sim/sim0, access: owner }]\n  vm2: { socket: b, lines: [{ line: sim/sim0, access: owner }] }',
    '17:29: exports.vm2.lines[0]: "sim/sim0" is owned by export "vm1" already; give a line one owner; the others take access: read',
  ],
  [
    'a driver besides an owner',
    "    lines: ['hub/*', sim/sim0]",
    "    lines: [{ line: hub/LED, access: owner }]\n  vm2: { socket: b, lines: ['hub/*'] }",
    '17:29: exports.vm2.lines[0]: "hub/*" includes "hub/LED": "hub/LED" is owned by export "vm1", and may only be read here; put { line: hub/LED, access: read } before it',
  ],
  [
    'a driver on MQTT besides an owner',
    "    lines: ['hub/*', sim/sim0]",
    "    lines: [{ line: sim/sim0, access: owner }]\nmqtt: { broker: embedded, lines: ['hub/*', '*'] }",
    '17:44: mqtt.lines[1]: "*" includes "sim/sim0": "sim/sim0" is owned by export "vm1", and may only be read here; put { line: sim/sim0, access: read } before it',
  ],
  [
    'an output that is never driven',
    'sim/sim0]',
    '{ line: sim/sim0, access: read, role: output }]',
    '16:60: exports.vm1.lines[1].role: is "output" with access "read"; an output that is never driven: leave one of them out',
  ],
  [
    'an owner that never drives',
    'sim/sim0]',
    '{ line: sim/sim0, access: owner, role: input }]',
    '16:61: exports.vm1.lines[1].role: is "input" with access "owner"; an owner is who may drive the line: leave one of them out',
  ],
  [
    'settings of a line that a simulated chip does not have',
    'lines: 4 }',
    'lines: 4, lineSettings: { sim4: { activeLow: true } } }',
    '12:47: chips.sim.lineSettings.sim4: "sim4" is no line; "sim" has the lines sim0 (#0) to sim3 (#3)',
  ],
  [
    'an unknown policy',
    'lines: 4 }',
    'lines: 4, lineSettings: { sim0: { onRelease: off } } }',
    '12:66: chips.sim.lineSettings.sim0.onRelease: is "off"; expected one of keep, input, low, high',
  ],
  [
    'one device as two chips',
    '  sim: {',
    '  a: { type: gpiochip, path: gpiochip0 }\n  b: { type: gpiochip, path: /dev/gpiochip0 }\n  sim: {',
    '13:30: chips.b.path: /dev/gpiochip0 is chip "a" already; give every chip a device of its own',
  ],
  [
    'the control socket where a guest connects',
    'exports:',
    'control: { socket: vm1.sock }\nexports:',
    '13:20: control.socket: /etc/vm1.sock is the socket of "vm1" already; give every export a socket of its own',
  ],
  [
    'a broker that is no URL',
    'exports:',
    'mqtt: { broker: localhost:1883 }\nexports:',
    '13:17: mqtt.broker: is "localhost:1883"; expected embedded, or a URL such as mqtt://127.0.0.1:1883, mqtts://, ws:// or wss://',
  ],
  [
    'a password in the URL, which is not repeated',
    'exports:',
    'mqtt: { broker: "mqtt://me:hush@host" }\nexports:',
    '13:17: mqtt.broker: holds a user name or password; use username and password: { file: PATH } or { env: NAME }',
  ],
  [
    'a password in the file, which is not repeated',
    'exports:',
    'mqtt: { broker: "mqtt://host", username: me, password: hush }\nexports:',
    '13:56: mqtt.password: ',
  ],
  [
    'a password without a user',
    'exports:',
    'mqtt: { broker: "mqtt://host", password: { env: X } }\nexports:',
    '13:32: mqtt.password: is given without a user name; add username',
  ],
  [
    'certificates without TLS',
    'exports:',
    'mqtt: { broker: "mqtt://host", tls: { ca: a } }\nexports:',
    "13:32: mqtt.tls: is given, but the broker's URL is mqtt://; use mqtts:// or wss://",
  ],
  [
    'a certificate without its key',
    'exports:',
    'mqtt: { broker: "mqtts://host", tls: { cert: a } }\nexports:',
    '13:40: mqtt.tls.cert: is given without key; a client certificate needs both',
  ],
  [
    'a port besides a URL',
    'exports:',
    'mqtt: { broker: "mqtt://host", port: 1883 }\nexports:',
    '13:32: mqtt.port: is for the embedded broker; leave it out, and put it into the URL of the broker',
  ],
  [
    'pauses that shrink',
    'exports:',
    'mqtt: { broker: embedded, retry: { minMs: 5000, maxMs: 1000 } }\nexports:',
    '13:56: mqtt.retry.maxMs: is 1000; expected at least minMs, 5000',
  ],
  [
    'a device class without Home Assistant',
    'exports:',
    'mqtt: { broker: embedded, lines: [{ line: hub/LID, deviceClass: opening }] }\nexports:',
    '13:52: mqtt.lines[0].deviceClass: is given without homeAssistant; add homeAssistant: {} or leave it out',
  ],
  [
    'a socket path that is too long',
    'vm1.sock',
    'x'.repeat(103),
    `15:13: exports.vm1.socket: /etc/${'x'.repeat(103)} has 108 bytes; expected at most 107 bytes, the limit for Unix sockets`,
  ],
  [
    'one vdev as two chips',
    'sim: { type: sim, lines: 4 }',
    'sim: { coprocessor: hub }',
    '12:3: chips.sim: vdev 0 of "hub" is chip "hub" already; give every chip a vdev of its own',
  ],
  [
    'overlapping memory',
    'deviceAddress: 0x20000000 }\n    resource',
    'deviceAddress: 0x20000000 }\n      - { type: file, path: x, deviceAddress: 0x2000fffc }\n    resource',
    '5:47: coprocessors.hub.memory[1].deviceAddress: 0x2000fffc and up overlaps memory[0], 0x20000000 to 0x2000ffff; give each memory a range of its own',
  ],
  [
    'memory beyond 32 bits',
    'deviceAddress: 0x20000000 }\n    resource',
    'deviceAddress: 0x20000000 }\n      - { type: file, path: x, sizeBytes: 64KiB, deviceAddress: 0xffff1000 }\n    resource',
    '5:43: coprocessors.hub.memory[1].sizeBytes: the memory ends at 0x100000fff; expected an end below 4 GiB: device addresses have 32 bits',
  ],
  [
    'a second memfd',
    'deviceAddress: 0x20000000 }\n    resource',
    'deviceAddress: 0x20000000 }\n      - { type: memfd, sizeBytes: 64KiB, deviceAddress: 0 }\n    resource',
    '5:17: coprocessors.hub.memory[1].type: is "memfd", as is memory[0]; give one memfd: the process gets one memory, as descriptor 3',
  ],
  [
    'a resource table outside the memory',
    'deviceAddress: 0x20000000 }\n    doorbell',
    'deviceAddress: 0x20010000 }\n    doorbell',
    '5:37: coprocessors.hub.resourceTable.deviceAddress: 0x20010000 lies in none of the memories; expected an address in 0x20000000 to 0x2000ffff',
  ],
  [
    'eventfds without a process',
    'type: memfd, sizeBytes: 64KiB, deviceAddress: 0x20000000 }\n    resourceTable: { deviceAddress: 0x20000000 }\n    doorbell: { type: eventfd }\n    exec:\n      command: [./sensor-hub]',
    'type: file, path: x, deviceAddress: 0x20000000 }\n    resourceTable: { deviceAddress: 0x20000000 }\n    doorbell: { type: eventfd }',
    '6:23: coprocessors.hub.doorbell.type: is "eventfd" without exec, and nobody holds the other end; add exec, or use socket, uio or poll',
  ],
  [
    'eventfds without memory that can be handed over',
    'type: memfd, sizeBytes: 64KiB',
    'type: uio, device: uio0',
    '6:23: coprocessors.hub.doorbell.type: is "eventfd" without a memory of type memfd or file, and eventfds are handed over with it; add a memfd to memory, or use socket, uio or poll',
  ],
  [
    'a memfd without a process',
    '{ type: eventfd }\n    exec:\n      command: [./sensor-hub]',
    '{ type: poll }',
    '4:17: coprocessors.hub.memory[0].type: is "memfd" without exec, and nobody shares the memory; add exec, or use file, uio or devmem',
  ],
  [
    'a value that no encoding writes',
    '{ type: eventfd }',
    '{ type: uio, device: uio0, offset: 0, value: 3 }',
    '6:60: coprocessors.hub.doorbell.value: is given, but the encoding is "id"; leave it out, or set encoding: constant',
  ],
  [
    'a number where the environment needs text',
    'command: [./sensor-hub]',
    'command: [./sensor-hub]\n      env: { TRACE: 1 }',
    '9:21: coprocessors.hub.exec.env.TRACE: is 1; expected text; put numbers in quotes',
  ],
  [
    'a key twice',
    'exports:',
    'chips: {}\nexports:',
    '13:1: the key "chips" occurs twice in one map; keep one of the two',
  ],
  [
    'a reserved key',
    'exports:',
    '__proto__: {}\nexports:',
    '13:1: the key "__proto__" is reserved; choose another name',
  ],
  [
    'a key that is no word',
    'exports:',
    '? [a]\n: {}\nexports:',
    '13:3: a key is not a plain word; write keys as plain words',
  ],
  ['a tab', '    socket:', '\tsocket:', '15:1: a tab is used as indentation; indent with spaces'],
  ['a tag', 'vm1.sock', '!path vm1.sock', '15:13: unknown tag; write plain values, without "!" tags'],
  [
    'a second document',
    'exports:',
    '---\nexports:',
    '13:1: a second document begins here; write one document, without a "---" line inside',
  ],
  [
    'an alias of nothing',
    'vm1.sock',
    '*name',
    '15:13: no value is named "name" before this alias; write "&name" before the value that is meant',
  ],
  [
    'an alias within its own value',
    "['hub/*', sim/sim0]",
    '&a [*a]',
    '16:16: the alias "a" is part of its own value; write the value out',
  ],
  ['broken YAML', '{ type: eventfd }', '{ type: eventfd', '7:5: '],
];

describe('ConfigError', () => {
  it.each([
    ['a+b', '+'],
    ['a#b', '#'],
    ['"a\\0b"', 'NUL'],
    ['a/b', '/'],
    ['"a//b"', '/'],
  ])('refuses %s as a gateway in topics', (gateway, reason) => {
    const text = `${GOOD}mqtt: { broker: embedded, gateway: ${gateway} }\n`;
    const { message } = errorOf(text);
    expect(message).toMatch(/^\/etc\/a\.yaml:17:36: mqtt\.gateway: is /);
    expect(message).toContain(reason);
  });

  it('is not thrown for the text that the cases are made from', () => {
    expect(Object.keys(parseConfig(GOOD, '/etc/a.yaml').exports)).toEqual(['vm1']);
  });

  it.each(CASES)('names %s', (_what, from, to, message) => {
    expect(GOOD.split(from).length).toBeGreaterThan(1);
    const error = errorOf(GOOD.replace(from, to));
    const wanted = `/etc/a.yaml:${message}`;
    // The words for broken YAML are those of its parser.
    expect(message.endsWith(': ') ? error.message.slice(0, wanted.length) : error.message).toBe(wanted);
    const [line, column] = message.split(':').map(Number);
    expect(error).toMatchObject({
      code: 'ERR_CONFIG',
      name: 'ConfigError',
      file: '/etc/a.yaml',
      line,
      column,
    });
    expect(error.message).toContain(error.key);
  });

  it.each([
    ['', '1:1: the file is empty; '],
    ['# nothing\n', '1:1: the file is empty; '],
    [
      '[]',
      '1:1: the document is an empty list; expected a map with the keys coprocessors, chips, exports, mqtt, control, log',
    ],
    ['5', '1:1: the document is 5; expected a map'],
    ['exports: {}', '1:1: chips: is missing; expected a map from names to chips'],
    ['chips: {}', '1:8: chips: is empty; expected at least one chip'],
  ])('refuses the document %j', (text, message) => {
    expect(errorOf(text).message).toContain(`/etc/a.yaml:${message}`);
  });

  it('reports the first fault by its place, and keeps the others', () => {
    const text = GOOD.replace('requestTimeoutMs: 200', 'requestTimeoutMs: 1')
      .replace('64KiB', '0')
      .replace('sim/sim0', '7');
    const error = errorOf(text);
    expect(error.all.map(({ key }) => key)).toEqual([
      'coprocessors.hub.memory[0].sizeBytes',
      'coprocessors.hub.requestTimeoutMs',
      'exports.vm1.lines[1]',
    ]);
    expect(error.all[0]).toBe(error);
  });

  it('refuses documents that explode', () => {
    const bomb = ['a: &a [x,x,x,x,x,x,x,x,x]'];
    for (const [name, before] of ['ba', 'cb', 'dc', 'ed', 'fe', 'gf']) {
      bomb.push(`${name}: &${name} [${Array(9).fill(`*${before}`).join(',')}]`);
    }
    expect(errorOf(bomb.join('\n')).message).toContain('aliases multiply the document too often');
    expect(errorOf('['.repeat(100_000)).message).toContain('nested too deeply');
  });

  it('answers a large wrong file in time, with a bounded number of faults', () => {
    const text = Array.from({ length: 80_000 }, (_, index) => `key${index}: 1`).join('\n');
    expect(errorOf(text).all.length).toBeLessThanOrEqual(101);
  });

  it('writes paths as people do', () => {
    expect(formatPath([])).toBe('');
    expect(formatPath(['exports', 'vm1', 'lines', 2, 'access'])).toBe('exports.vm1.lines[2].access');
  });
});

function errorOf(text: string): ConfigError {
  try {
    parseConfig(text, '/etc/a.yaml');
  } catch (error) {
    if (error instanceof ConfigError) return error;
    throw error;
  }
  throw new Error('the configuration was accepted');
}

it('shortens what a file has made too long, and still says what would be right', () => {
  const error = new ConfigError('x.yaml', {
    key: `chips.${'a'.repeat(100_000)}`,
    wrong: `is "${'b'.repeat(100_000)}"`,
    right: 'expected less',
    line: 1,
    column: 2,
  });
  expect(error.message.length).toBeLessThan(3000);
  expect(error.message).toMatch(/^x\.yaml:1:2: chips\.a+…a+: is "b+…b+"; expected less$/);
  expect(error.key.length).toBeGreaterThan(100_000);
});
