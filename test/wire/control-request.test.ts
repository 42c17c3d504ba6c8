import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_PULSE_MS, MAX_REQUEST_LINES } from '../../src/wire/control.ts';
import {
  CONTROL_METHODS,
  ControlFault,
  decodeRequest,
  encodeRequest,
} from '../../src/wire/control-request.ts';

const LINES = '"lines":["hub/LED"]';

function messageOf(line: string): string {
  const decoded = decodeRequest(line);
  return decoded instanceof ControlFault ? decoded.message : 'no fault';
}

describe('decodeRequest', () => {
  it.each([
    ['chips', '{}'],
    ['lines', '{}'],
    ['lines', '{"chip":"hub"}'],
    ['lines', `{${LINES}}`],
    ['get', `{${LINES}}`],
    ['set', '{"values":[{"line":"hub/LED","level":1},{"line":"#","level":0}]}'],
    ['toggle', `{${LINES}}`],
    ['pulse', `{${LINES},"level":0,"durationMs":1}`],
    ['pulse', `{${LINES},"level":1,"durationMs":${MAX_PULSE_MS}}`],
    ['release', `{${LINES}}`],
    ['direction', `{${LINES},"direction":"none"}`],
    ['watch', '{}'],
    ['watch', '{"chip":"hub","edges":"rising"}'],
    ['watch', `{${LINES},"edges":"both"}`],
    ['unwatch', '{"subscription":3}'],
    ['status', '{}'],
    ['reload', '{}'],
  ])('takes %s with %s', (method, params) => {
    const line = `{"id":7,"method":"${method}","params":${params}}`;
    expect(decodeRequest(line)).toEqual({ id: 7, method, params: JSON.parse(params) });
  });

  it('takes a request without params where none are needed', () => {
    expect(decodeRequest('{"method":"chips","id":0}')).toEqual({ id: 0, method: 'chips', params: {} });
  });

  it.each([
    ['', '"" is not JSON; a request is one line like {"id":1,"method":"chips"}'],
    ['{"id":1', String.raw`"{\"id\":1" is not JSON; a request is one line like {"id":1,"method":"chips"}`],
    ['[]', 'an empty list is no request; one is like {"id":1,"method":"chips"}'],
    ['null', 'null is no request; one is like {"id":1,"method":"chips"}'],
    ['{}', 'id is missing, should be a whole number from 0 to 9007199254740991'],
    ['{"id":"1"}', 'id is "1", should be a whole number from 0 to 9007199254740991'],
    ['{"id":1.5}', 'id is 1.5, should be a whole number from 0 to 9007199254740991'],
    ['{"id":-1}', 'id is -1, should be a whole number from 0 to 9007199254740991'],
    [
      '{"id":1,"method":"chips","parms":{}}',
      'the request has an unknown key "parms", should have id, method, params',
    ],
    ['{"id":1}', `method is missing; methods are ${CONTROL_METHODS.join(', ')}`],
    ['{"id":1,"method":"gett"}', `there is no method "gett"; methods are ${CONTROL_METHODS.join(', ')}`],
    ['{"id":1,"method":["get"]}', `method is a list; methods are ${CONTROL_METHODS.join(', ')}`],
    ['{"id":1,"method":"chips","params":[]}', 'params is an empty list, should be an object'],
    ['{"id":1,"method":"chips","params":null}', 'params is null, should be an object'],
    ['{"id":1,"method":"chips","params":{"x":1}}', 'params has an unknown key "x", should be empty'],
    ['{"id":1,"method":"get"}', 'params.lines is missing, should be a list of lines'],
    ['{"id":1,"method":"get","params":{"line":"A"}}', 'params has an unknown key "line", should have lines'],
    ['{"id":1,"method":"get","params":{"lines":"A"}}', 'params.lines is "A", should be a list of lines'],
    ['{"id":1,"method":"get","params":{"lines":[]}}', 'params.lines holds no lines, should hold at least 1'],
    [
      '{"id":1,"method":"get","params":{"lines":["A",7]}}',
      'params.lines[1] is 7, should be a line: NAME, CHIP/NAME or CHIP/#OFFSET',
    ],
    [
      '{"id":1,"method":"get","params":{"lines":[""]}}',
      'params.lines[0] is "", should be a line: NAME, CHIP/NAME or CHIP/#OFFSET',
    ],
    [
      '{"id":1,"method":"set","params":{"values":[{"line":"A","level":true}]}}',
      'params.values[0].level is true, should be one of 0, 1',
    ],
    [
      '{"id":1,"method":"set","params":{"values":[{"line":"A","level":1,"durationMs":2}]}}',
      'params.values[0] has an unknown key "durationMs", should have line, level',
    ],
    [
      `{"id":1,"method":"pulse","params":{${LINES},"level":1,"durationMs":0}}`,
      'params.durationMs is 0, should be a whole number from 1 to 3600000',
    ],
    [
      `{"id":1,"method":"pulse","params":{${LINES},"level":1,"durationMs":3600001}}`,
      'params.durationMs is 3600001, should be a whole number from 1 to 3600000',
    ],
    [
      `{"id":1,"method":"direction","params":{${LINES},"direction":"output"}}`,
      'params.direction is "output", should be one of "in", "out", "none"',
    ],
    [
      `{"id":1,"method":"watch","params":{"chip":"hub",${LINES}}}`,
      'params has both chip and lines, should have one of them',
    ],
    [
      '{"id":1,"method":"watch","params":{"edges":1}}',
      'params.edges is 1, should be one of "both", "rising", "falling"',
    ],
    ['{"id":1,"method":"lines","params":{"chip":""}}', 'params.chip is "", should be the name of a chip'],
  ])('refuses %s', (line, message) => expect(messageOf(line)).toBe(message));

  it('tells the request that it refuses', () => {
    expect(decodeRequest('{"id":5,"method":"x"}')).toMatchObject({ id: 5, code: 'ERR_REQUEST' });
    expect(decodeRequest('{"id":{},"method":"x"}')).toMatchObject({ id: null, code: 'ERR_REQUEST' });
  });

  it('takes at most 4096 lines', () => {
    const get = (count: number) =>
      decodeRequest(`{"id":1,"method":"get","params":{"lines":[${Array(count).fill('"A"').join()}]}}`);
    expect(get(MAX_REQUEST_LINES)).toMatchObject({ method: 'get' });
    expect(get(MAX_REQUEST_LINES + 1)).toMatchObject({
      message: 'params.lines holds 4097 lines, at most 4096 are taken',
    });
  });

  it('does not take what objects inherit for keys or methods', () => {
    expect(messageOf('{"id":1,"method":"toString"}')).toMatch(/^there is no method "toString"/);
    expect(messageOf('{"id":1,"method":"__proto__"}')).toMatch(/^there is no method "__proto__"/);
    expect(messageOf('{"__proto__":{"id":1,"method":"chips"}}')).toMatch(/^id is missing/);
    expect(messageOf('{"id":1,"method":"chips","__proto__":{}}')).toMatch(/unknown key "__proto__"/);
    expect(messageOf('{"id":1,"method":"chips","params":{"__proto__":1}}')).toMatch(
      /unknown key "__proto__"/,
    );
    expect(messageOf(`{"id":1,"method":"get","params":{"__proto__":{${LINES}}}}`)).toMatch(/unknown key/);
    expect(({} as Record<string, unknown>).id).toBeUndefined();
  });

  it('repeats little of a long text', () => {
    for (const text of ['x'.repeat(60_000), '\u0000'.repeat(10_000), '"'.repeat(10_000)]) {
      expect(messageOf(text).length).toBeLessThan(500);
      expect(messageOf(JSON.stringify({ id: 1, method: text })).length).toBeLessThan(500);
      expect(
        messageOf(JSON.stringify({ id: 1, method: 'chips', params: { [text]: 1 } })).length,
      ).toBeLessThan(500);
    }
  });

  it('survives any text', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json(), fc.string({ unit: 'binary' })), (text) => {
        const decoded = decodeRequest(text);
        expect(decoded instanceof ControlFault || CONTROL_METHODS.includes(decoded.method)).toBe(true);
      }),
      { numRuns: 2000 },
    );
    for (const open of ['[', '{"a":', '{"id":1,"method":"get","params":{"lines":[']) {
      expect(decodeRequest(open.repeat(20_000))).toBeInstanceOf(ControlFault);
    }
  });

  it('survives any JSON in any place of a request', () => {
    const request = fc.record({
      id: fc.jsonValue(),
      method: fc.constantFrom(...CONTROL_METHODS),
      params: fc.jsonValue(),
    });
    const params = fc.record(
      { lines: fc.jsonValue(), level: fc.jsonValue(), durationMs: fc.jsonValue(), values: fc.jsonValue() },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(request, params, (value, given) => {
        for (const text of [JSON.stringify(value), JSON.stringify({ ...value, id: 1, params: given })]) {
          const decoded = decodeRequest(text);
          if (!(decoded instanceof ControlFault)) expect(decodeRequest(text)).toEqual(JSON.parse(text));
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('encodeRequest', () => {
  const line = fc.string({ minLength: 1, maxLength: 40, unit: 'binary' });

  it('is undone by decodeRequest', () => {
    const level = fc.constantFrom(0 as const, 1 as const);
    const values = fc.array(fc.record({ line, level }), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(fc.nat(), values, (id, given) => {
        const text = encodeRequest(id, 'set', { values: given });
        expect(text.endsWith('\n') && text.indexOf('\n') === text.length - 1).toBe(true);
        expect(decodeRequest(text.slice(0, -1))).toEqual({ id, method: 'set', params: { values: given } });
      }),
    );
  });

  it('writes one line', () => {
    expect(encodeRequest(1, 'get', { lines: ['hub/A\nB'] })).toBe(
      '{"id":1,"method":"get","params":{"lines":["hub/A\\nB"]}}\n',
    );
  });
});
