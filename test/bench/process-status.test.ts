import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import {
  cpuSeconds,
  nodeProcess,
  parseCpuSeconds,
  parseStatusNumber,
  processTree,
  residentBytes,
  switchesBetween,
  voluntarySwitches,
} from '../../bench/process-status.ts';

describe('parseCpuSeconds', () => {
  it('adds user and system time, whatever the command is called', () => {
    const rest = 'S 1 1 1 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 11 0 100 1000 100';
    expect(parseCpuSeconds(`42 (node) ${rest}\n`)).toBe(3);
    expect(parseCpuSeconds(`42 (a) b (c)) ${rest}\n`)).toBe(3);
  });

  it('refuses a line that is none', () => {
    expect(() => parseCpuSeconds('42 (node) S 1\n')).toThrow(SyntaxError);
  });
});

describe('parseStatusNumber', () => {
  const status =
    'Name:\tnode\nVmRSS:\t   51234 kB\nvoluntary_ctxt_switches:\t17\nnonvoluntary_ctxt_switches:\t4\n';

  it('finds a line by its whole name', () => {
    expect(parseStatusNumber(status, 'VmRSS')).toBe(51_234);
    expect(parseStatusNumber(status, 'voluntary_ctxt_switches')).toBe(17);
    expect(parseStatusNumber(status, 'nonvoluntary_ctxt_switches')).toBe(4);
  });

  it('names what is missing', () => {
    expect(() => parseStatusNumber(status, 'VmSwap')).toThrow('VmSwap');
  });
});

describe('switchesBetween', () => {
  it('counts new threads from zero and forgets threads that ended', () => {
    const before = new Map([
      ['node/1', 10],
      ['V8Worker/2', 5],
    ]);
    const after = new Map([
      ['node/1', 13],
      ['libuv/3', 2],
    ]);
    expect(switchesBetween(before, after)).toBe(5);
  });
});

describe('a live process', () => {
  it('is seen with its memory, time, threads and children', async () => {
    const child = spawn('sh', [
      '-c',
      '"$0" -e "process.stdout.write(\'up\');process.stdin.resume()"; true',
      process.execPath,
    ]);
    try {
      await once(child.stdout, 'data');
      const pid = nodeProcess(child.pid!);
      expect(pid).not.toBe(child.pid);
      expect(processTree(process.pid)).toContain(pid);
      expect(residentBytes(pid)).toBeGreaterThan(10e6);
      expect(cpuSeconds(process.pid)).toBeGreaterThan(0);
      expect(voluntarySwitches(pid).size).toBeGreaterThan(1);
    } finally {
      child.stdin.end();
      await once(child, 'close');
    }
  });

  it('that runs no node is not taken for one', async () => {
    const child = spawn('cat');
    try {
      await once(child, 'spawn');
      expect(() => nodeProcess(child.pid!)).toThrow('runs no node');
    } finally {
      child.stdin.end();
      await once(child, 'close');
    }
  });
});
