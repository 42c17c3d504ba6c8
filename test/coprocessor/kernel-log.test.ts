import { execFileSync } from 'node:child_process';
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { KernelLog, parseRecord } from '../../src/coprocessor/kernel-log.ts';
import { parseUevent, Uevents } from '../../src/coprocessor/uevents.ts';
import { scratchFolder } from './scratch-folder.ts';

describe("a record of the kernel's log", () => {
  it('names the device that it is about', () => {
    expect(
      parseRecord(
        '6,67,710000,-;remoteproc remoteproc1: detached remote processor cm7; at last\n SUBSYSTEM=remoteproc\n DEVICE=c251:1\n',
      ),
    ).toEqual({
      text: 'remoteproc remoteproc1: detached remote processor cm7; at last',
      subsystem: 'remoteproc',
      device: 'c251:1',
    });
  });

  it('may be about none', () => {
    expect(parseRecord('5,11,0,-;Zone ranges:\n')).toEqual({
      text: 'Zone ranges:',
      subsystem: '',
      device: '',
    });
    expect(parseRecord('')).toEqual({ text: '', subsystem: '', device: '' });
  });
});

describe('KernelLog', () => {
  const open: { close(): void }[] = [];
  afterEach(() => {
    for (const one of open.splice(0)) one.close();
  });

  it('tells what comes after it was opened, and nothing of before', async () => {
    const path = join(scratchFolder(), 'kmsg');
    execFileSync('mkfifo', [path]);
    // Open at both ends, so that neither end of the pipe is ever missing.
    const fd = openSync(path, constants.O_RDWR);
    open.push({ close: () => closeSync(fd) });
    writeSync(fd, '6,1,0,-;old\n');
    const texts: string[] = [];
    const log = await new Promise<KernelLog>((resolve, reject) => {
      const opened = new KernelLog(
        path,
        ({ text }) => texts.push(text),
        () => resolve(opened),
        () => reject(new Error('lost')),
      );
      open.push(opened);
      writeSync(fd, '6,2,0,-;new\n SUBSYSTEM=remoteproc\n');
    });
    expect(texts).toEqual([]);
    log.read();
    expect(texts).toEqual(['new']);
    log.close();
    log.close();
    log.read();
  });

  it('says why it cannot be opened', () => {
    const nowhere = join(scratchFolder(), 'kmsg');
    expect(
      () =>
        new KernelLog(
          nowhere,
          () => {},
          () => {},
          () => {},
        ),
    ).toThrow('ENOENT');
  });
});

describe('a uevent', () => {
  it('has an action, a device and a subsystem', () => {
    const message = 'add@/devices/virtio0/virtio0.rpmsg-io.-1.30\0ACTION=add\0SUBSYSTEM=rpmsg\0SEQNUM=7\0';
    expect(parseUevent(message)).toEqual({
      action: 'add',
      devpath: '/devices/virtio0/virtio0.rpmsg-io.-1.30',
      subsystem: 'rpmsg',
    });
  });

  it.each(['', 'libudev\0\xfe\xed', '@/devices/x\0'])('is not %j', (message) => {
    expect(parseUevent(message)).toBeNull();
  });
});

describe('Uevents', () => {
  it('needs no privilege, and can be closed twice', () => {
    const uevents = new Uevents(() => {});
    uevents.close();
    uevents.close();
  });
});
