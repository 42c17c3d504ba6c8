import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type CommandVerb,
  MAX_COMMAND_BYTES,
  MAX_PULSE_MS,
  parseCommand,
} from '../../../src/exporters/mqtt/command-payload.ts';

const bytes = (text: string) => new TextEncoder().encode(text);
const parse = (verb: CommandVerb, text: string) => parseCommand(verb, bytes(text));
function faultOf(verb: CommandVerb, payload: string | Uint8Array): string {
  const result = parseCommand(verb, typeof payload === 'string' ? bytes(payload) : payload);
  if (!('fault' in result)) throw new Error(`is a command: ${JSON.stringify(result)}`);
  return result.fault;
}

describe('parseCommand: set', () => {
  it.each(['ON', 'on', 'On', '1', 'true', 'TRUE', ' on\n', '\tTrue ', '\ufeffON'])('%j is high', (text) => {
    expect(parse('set', text)).toEqual({ kind: 'set', level: 1 });
  });
  it.each(['OFF', 'off', '0', 'false', 'False', '  0  '])('%j is low', (text) => {
    expect(parse('set', text)).toEqual({ kind: 'set', level: 0 });
  });
  it.each(['toggle', 'TOGGLE', ' Toggle'])('%j toggles', (text) => {
    expect(parse('set', text)).toEqual({ kind: 'toggle' });
  });
  it.each([
    ['{"value":true}', 1],
    ['{"value":1}', 1],
    ['{"value":1.0}', 1],
    [' { "value" : "on" } ', 1],
    ['{"value":" ON "}', 1],
    ['{"value":"1"}', 1],
    ['{"value":false}', 0],
    ['{"value":0}', 0],
    ['{"value":-0}', 0],
    ['{"value":"False"}', 0],
  ])('takes the JSON %s', (text, level) => {
    expect(parse('set', text)).toEqual({ kind: 'set', level });
  });
  it('toggles and pulses by JSON', () => {
    expect(parse('set', '{"value":"Toggle"}')).toEqual({ kind: 'toggle' });
    expect(parse('set', '{"value":"ON","durationMs":250}')).toEqual({
      kind: 'pulse',
      level: 1,
      durationMs: 250,
    });
    expect(parse('set', '{"durationMs":1,"value":0}')).toEqual({ kind: 'pulse', level: 0, durationMs: 1 });
    expect(parse('set', `{"value":1,"durationMs":${MAX_PULSE_MS}}`)).toEqual({
      kind: 'pulse',
      level: 1,
      durationMs: MAX_PULSE_MS,
    });
  });
  it.each([
    ['', 'the payload is empty; set takes ON, OFF'],
    ['blink', '"blink" is no level; set takes ON, OFF'],
    ['2', '"2" is no level'],
    ['in', '"in" is no level'],
    ['[1]', '"[1]" is no level'],
    ['"ON"', 'is no level'],
    ['null', '"null" is no level'],
    ['constructor', '"constructor" is no level'],
    ['{value:1}', 'is no JSON object'],
    ['{"value":1', 'is no JSON object'],
    ['{"value":1}x', 'is no JSON object'],
    ['{}', 'the key value is missing'],
    ['{"value":2}', 'value is 2; it has to be true, false'],
    ['{"value":null}', 'value is null'],
    ['{"value":"blink"}', 'value is "blink"'],
    ['{"value":["ON"]}', 'value is ["ON"]'],
    ['{"value":{"toString":1}}', 'value is {"toString":1}'],
    ['{"state":"ON"}', 'the key "state" is not known; known: value, durationMs'],
    ['{"value":1,"duration":5}', 'the key "duration" is not known; known: value, durationMs'],
    ['{"value":1,"durationMs":0}', 'durationMs is 0; it has to be a whole number of ms from 1 to 3600000'],
    ['{"value":1,"durationMs":3600001}', 'durationMs is 3600001'],
    ['{"value":1,"durationMs":1.5}', 'durationMs is 1.5'],
    ['{"value":1,"durationMs":"5"}', 'durationMs is "5"'],
    ['{"value":1,"durationMs":null}', 'durationMs is null'],
    ['{"value":1,"durationMs":1e400}', 'durationMs is null'],
    ['{"value":"toggle","durationMs":5}', 'a toggle has no durationMs'],
  ])('refuses %s', (text, why) => {
    expect(faultOf('set', text)).toContain(why);
  });
  it.each([
    '{"__proto__":{"value":1}}',
    '{"value":1,"__proto__":{}}',
    '{"constructor":1}',
    '{"hasOwnProperty":1}',
  ])('takes no key that every object has: %s', (text) => {
    expect(faultOf('set', text)).toContain('is not known');
    expect(({} as { value?: unknown }).value).toBeUndefined();
  });
});

describe('parseCommand: direction/set', () => {
  it.each([
    ['in', { kind: 'direction', direction: 'in' }],
    ['OUT', { kind: 'direction', direction: 'out' }],
    [' none\n', { kind: 'direction', direction: 'none' }],
    ['Release', { kind: 'release' }],
    ['{"direction":"out"}', { kind: 'direction', direction: 'out' }],
    ['{"direction":" RELEASE "}', { kind: 'release' }],
  ])('takes %s', (text, command) => {
    expect(parse('direction/set', text)).toEqual(command);
  });
  it.each([
    ['', 'the payload is empty; direction/set takes in, out, none, release'],
    ['ON', '"ON" is no direction'],
    ['__proto__', '"__proto__" is no direction'],
    ['{', 'is no JSON object'],
    ['{}', 'the key direction is missing'],
    ['{"direction":1}', 'direction is 1; it has to be "in"'],
    ['{"value":1}', 'the key "value" is not known; known: direction'],
  ])('refuses %s', (text, why) => {
    expect(faultOf('direction/set', text)).toContain(why);
  });
});

describe('parseCommand: any payload', () => {
  const verb = fc.constantFrom<CommandVerb>('set', 'direction/set', 'get');
  const payload = fc.oneof(
    fc.uint8Array({ maxLength: 2048 }),
    fc.string({ unit: 'binary', maxLength: 300 }).map(bytes),
    fc.json().map(bytes),
    fc
      .dictionary(fc.constantFrom('value', 'durationMs', 'direction', '__proto__', 'x'), fc.jsonValue())
      .map((object) => bytes(JSON.stringify(object))),
  );

  it('takes anything as get, up to the limit', () => {
    expect(parseCommand('get', new Uint8Array(0))).toEqual({ kind: 'get' });
    expect(parseCommand('get', Uint8Array.of(0xff, 0, 0xc0))).toEqual({ kind: 'get' });
    expect(faultOf('get', new Uint8Array(MAX_COMMAND_BYTES + 1))).toContain('1025 bytes long; at most 1024');
  });

  it('refuses what is too long or no UTF-8', () => {
    expect(parse('set', `ON${' '.repeat(MAX_COMMAND_BYTES - 2)}`)).toEqual({ kind: 'set', level: 1 });
    expect(faultOf('set', `ON${' '.repeat(MAX_COMMAND_BYTES - 1)}`)).toContain('at most 1024');
    expect(faultOf('set', new Uint8Array(1 << 20))).toContain('1048576 bytes');
    for (const wrong of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0x4f, 0x4e, 0xe2, 0x82]]) {
      expect(faultOf('set', Uint8Array.from(wrong))).toContain('no UTF-8');
    }
  });

  it('quotes at most 40 characters, printable ones', () => {
    expect(faultOf('set', 'x'.repeat(41))).toContain(`"${'x'.repeat(40)}…"`);
    expect(faultOf('set', 'x'.repeat(40))).toContain(`"${'x'.repeat(40)}"`);
    expect(faultOf('set', 'a\u001b[31mb\u202ec\0')).toContain('"a.[31mb.c."');
    expect(faultOf('set', 'grün 😀')).toContain('"grün 😀"');
  });

  it('is a command or a fault of bounded length, and never throws', () => {
    fc.assert(
      fc.property(verb, payload, (which, any) => {
        const result = parseCommand(which, any);
        if ('fault' in result) {
          expect(result.fault.length).toBeGreaterThan(10);
          expect(result.fault.length).toBeLessThan(250);
          expect(result.fault).not.toMatch(/\p{Cc}/u);
        } else {
          expect(['set', 'toggle', 'pulse', 'direction', 'release', 'get']).toContain(result.kind);
        }
      }),
      { numRuns: 1000 },
    );
  });
});
