import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findMosquitto } from '../../bench/broker.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'rproc-gpio-bench-test-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A program of that name in a folder of that name. */
function program(where: string): string {
  const path = join(folder, where, 'mosquitto');
  mkdirSync(join(folder, where), { recursive: true });
  writeFileSync(path, '#!/bin/sh\n');
  chmodSync(path, 0o755);
  return path;
}

function labNames(path: string): void {
  mkdirSync(join(folder, 'cache/rproc-gpio/e2e'), { recursive: true });
  writeFileSync(join(folder, 'cache/rproc-gpio/e2e/lab.env'), `QEMU_ARM=/none\nMOSQUITTO=${path}\n`);
}

function find(path = ''): string | null {
  return findMosquitto({ HOME: folder, XDG_CACHE_HOME: join(folder, 'cache'), PATH: path }, [
    join(folder, 'sbin'),
  ]);
}

describe('findMosquitto', () => {
  it('takes what the set-up of the end-to-end tests names', () => {
    const named = program('unpacked');
    program('bin');
    labNames(named);
    expect(find(join(folder, 'bin'))).toBe(named);
  });

  it('goes on when that is gone', () => {
    labNames(join(folder, 'unpacked/mosquitto'));
    const other = program('bin');
    expect(find(`/nowhere:${join(folder, 'bin')}`)).toBe(other);
  });

  it('looks where it lies without being in the PATH', () => {
    expect(find()).toBeNull();
    const system = program('sbin');
    expect(find()).toBe(system);
  });

  it('takes no file that cannot be run', () => {
    chmodSync(program('sbin'), 0o644);
    // Root may read and write anything, and still not run this.
    expect(find()).toBeNull();
  });
});
