import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeReply,
  EDGES_END,
  EdgeText,
  edgesBegin,
  encodeDropped,
  encodeEnded,
  encodeError,
  encodeGreeting,
  encodeResult,
} from '../../src/wire/control-reply.ts';
import { ControlFault } from '../../src/wire/control-request.ts';
import { decodeResult } from '../../src/wire/control-result.ts';

const ASCII_LINE = /^[\x20-\x7e]*\n$/;

function decoded(text: string): unknown {
  expect(text).toMatch(ASCII_LINE);
  return decodeReply(text.slice(0, -1));
}

const anyName = fc.string({ unit: 'binary', maxLength: 20 });

describe('messages of a service', () => {
  it('are these bytes', () => {
    expect(encodeGreeting('0.1.0')).toBe('{"service":"rproc-gpio","protocol":1,"version":"0.1.0"}\n');
    expect(encodeResult(3, { a: 1 })).toBe('{"id":3,"result":{"a":1}}\n');
    expect(encodeError(null, { code: 'ERR_LIMIT', message: 'no' })).toBe(
      '{"id":null,"error":{"code":"ERR_LIMIT","message":"no"}}\n',
    );
    const text = new EdgeText('hub', 3, 'IMU_INT');
    const first = text.encode(1, 41, 12_000_000_345n, false, false);
    const second = text.encode(0, 42, 12_000_000_999n, true, true);
    expect(`${edgesBegin(2)}${first},${second}${EDGES_END}`).toBe(
      '{"subscription":2,"edges":[' +
        '{"chip":"hub","offset":3,"name":"IMU_INT","edge":"rising","level":1,"seq":41,"timestampNs":"12000000345","direction":"in"},' +
        '{"chip":"hub","offset":3,"name":"IMU_INT","edge":"falling","level":0,"seq":42,"timestampNs":"12000000999","merged":true,"direction":"out"}]}\n',
    );
    expect(encodeDropped(2, 17)).toBe('{"subscription":2,"dropped":17}\n');
    expect(encodeEnded(2, 'chip hub is gone')).toBe('{"subscription":2,"ended":"chip hub is gone"}\n');
  });

  it('are decoded to what was encoded, one ASCII line each, whatever the texts', () => {
    fc.assert(
      fc.property(anyName, anyName, fc.nat(), fc.boolean(), (name, message, seq, flag) => {
        expect(decoded(encodeGreeting(name))).toMatchObject({ kind: 'greeting', protocol: 1, version: name });
        expect(decoded(encodeResult(seq, [name]))).toEqual({ kind: 'result', id: seq, result: [name] });
        expect(decoded(encodeError(seq, { code: 'ERR_X', message }))).toEqual({
          kind: 'error',
          id: seq,
          error: { code: 'ERR_X', message },
        });
        expect(decoded(encodeDropped(1, seq))).toEqual({ kind: 'dropped', subscription: 1, dropped: seq });
        expect(decoded(encodeEnded(1, message))).toEqual({ kind: 'ended', subscription: 1, ended: message });
        const level = flag ? 1 : 0;
        const edge = new EdgeText(name, seq, message).encode(level, seq, BigInt(seq), flag, !flag);
        expect(decoded(`${edgesBegin(9)}${edge}${EDGES_END}`)).toEqual({
          kind: 'edges',
          subscription: 9,
          edges: [
            {
              chip: name,
              offset: seq,
              name: message,
              edge: flag ? 'rising' : 'falling',
              level,
              seq,
              timestampNs: String(seq),
              ...(flag ? { merged: true } : {}),
              direction: flag ? 'in' : 'out',
            },
          ],
        });
      }),
    );
  });
});

describe('decodeReply', () => {
  it.each([
    ['HTTP/1.1 400 Bad Request', '"HTTP/1.1 400 Bad Request" is not JSON'],
    ['7', '7 is no message'],
    ['{}', 'greeting.service is missing, should be "rproc-gpio"'],
    [
      '{"service":"rproc-gpio","protocol":"1"}',
      'greeting.protocol is "1", should be a whole number from 0 to 9007199254740991',
    ],
    ['{"result":1}', 'message.id is missing, should be a whole number from 0 to 9007199254740991'],
    ['{"id":1,"error":"no"}', 'message.error is "no", should be an object'],
    [
      '{"id":1,"error":{"code":"E","message":""}}',
      'message.error.code is "E", should be a code like "ERR_LINE"',
    ],
    ['{"subscription":1}', 'a subscription tells of edges, dropped, ended: there is none'],
    [
      '{"subscription":"1","dropped":1}',
      'message.subscription is "1", should be a whole number from 0 to 9007199254740991',
    ],
    [
      '{"subscription":1,"edges":[{"chip":"hub"}]}',
      'message.edges[0].offset is missing, should be a whole number from 0 to 9007199254740991',
    ],
  ])('says what is wrong with %s', (line, message) => {
    expect(decodeReply(line)).toEqual(new ControlFault(null, 'ERR_PROTOCOL', message));
  });

  it.each([
    ['chip', [null, 1, undefined]],
    ['offset', [-1, 0.5, '1', null, undefined]],
    ['name', [null, 3, undefined]],
    ['edge', ['up', 1, null, undefined]],
    ['level', [2, -1, true, '1', null, undefined]],
    ['seq', [-1, 1.5, '1', undefined]],
    ['timestampNs', [5, '', '-1', '1.5', '1'.repeat(21), undefined]],
    ['merged', [0, 'true', null]],
    ['direction', ['none', null, undefined]],
  ])('refuses an edge whose %s is wrong', (field, values) => {
    const edge = JSON.parse(new EdgeText('hub', 1, 'A').encode(1, 5, 9n, true, false)) as object;
    const text = (value: object) => JSON.stringify({ subscription: 1, edges: [edge, value] });
    expect(decodeReply(text(edge))).toEqual({ kind: 'edges', subscription: 1, edges: [edge, edge] });
    for (const value of values) {
      const reply = decodeReply(text({ ...edge, [field]: value }));
      expect(reply).toBeInstanceOf(ControlFault);
      expect((reply as ControlFault).message).toContain(`message.edges[1].${field} is `);
    }
  });

  it('lets through what a later version adds', () => {
    expect(decodeReply('{"service":"rproc-gpio","protocol":2,"version":"9","more":1}')).toMatchObject({
      protocol: 2,
    });
  });

  it('survives any text, and any JSON in any place', () => {
    const message = fc.record(
      {
        id: fc.jsonValue(),
        result: fc.jsonValue(),
        error: fc.jsonValue(),
        subscription: fc.jsonValue(),
        edges: fc.jsonValue(),
        dropped: fc.jsonValue(),
        service: fc.jsonValue(),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), message, (text, value) => {
        expect(decodeReply(text)).toBeTypeOf('object');
        expect(decodeReply(JSON.stringify(value))).toBeTypeOf('object');
      }),
      { numRuns: 2000 },
    );
  });
});

describe('decodeResult', () => {
  const outcome = { line: 'hub/A', chip: 'hub', offset: 0, name: 'A', ok: true, level: null };

  it('takes results as they are', () => {
    expect(decodeResult(1, 'get', [outcome])).toEqual([outcome]);
    expect(decodeResult(1, 'reload', { changed: ['x'], unchanged: false })).toMatchObject({ changed: ['x'] });
    expect(decodeResult(1, 'unwatch', { later: 1 })).toEqual({ later: 1 });
  });

  it.each([
    ['get', [{ ...outcome, level: 2 }], 'get: result[0].level is 2, should be one of 0, 1'],
    ['chips', {}, 'chips: result is an object, should be a list of chips'],
    ['watch', { subscription: 1 }, 'watch: result.lines is missing, should be a list of lines'],
    ['status', null, 'status: result is null, should be an object'],
  ] as const)('says what is wrong with a result of %s', (method, result, message) => {
    expect(decodeResult(4, method, result)).toEqual(new ControlFault(4, 'ERR_PROTOCOL', message));
  });

  it('survives any JSON', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('chips', 'lines', 'get', 'watch', 'status', 'reload'),
        fc.jsonValue(),
        (method, value) => {
          expect(() => decodeResult(1, method as 'status', value)).not.toThrow();
        },
      ),
    );
  });
});
