import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Remoteproc, type RemoteprocState } from '../../src/coprocessor/remoteproc.ts';
import { firmwareFolders, RUNNING_SYSTEM } from '../../src/coprocessor/remoteproc-sysfs.ts';
import { LOOK_INTERVAL_MS } from '../../src/coprocessor/remoteproc-watch.ts';
import { FakeRemoteproc } from './fake-remoteproc.ts';
import { scratchFolder, textFile } from './scratch-folder.ts';

let fake: FakeRemoteproc;
beforeEach(() => {
  fake = new FakeRemoteproc();
  fake.add('remoteproc0', 'imx-rproc', 'offline');
});
afterEach(() => {
  vi.useRealTimers();
  fake.close();
});

const find = (name: string) => Remoteproc.find(name, fake.system);
const refused = (text: string) =>
  expect.objectContaining({ code: 'ERR_REMOTEPROC', message: expect.stringContaining(text) });

describe('finding a remoteproc', () => {
  it('takes its entry or its name attribute', () => {
    fake.add('remoteproc1', 'm4', 'running');
    expect(find('remoteproc1').name).toBe('m4');
    expect(find('m4').entry).toBe('remoteproc1');
    expect(find('m4').state).toBe('running');
  });

  it('says which ones there are', () => {
    fake.add('remoteproc1', '', 'offline');
    expect(() => find('m7')).toThrow(
      refused(
        `no remoteproc "m7": ${fake.sysfsRoot}/class/remoteproc has remoteproc0 (imx-rproc), remoteproc1 (no name)`,
      ),
    );
  });

  it('says what to look at when there is none', () => {
    const system = { ...fake.system, sysfsRoot: scratchFolder() };
    expect(() => Remoteproc.find('remoteproc0', system)).toThrow(refused('is the driver of this board'));
  });

  it('takes no name that two have', () => {
    fake.add('remoteproc1', 'imx-rproc', 'offline');
    expect(() => find('imx-rproc')).toThrow(refused('ambiguous: remoteproc0, remoteproc1'));
    expect(find('remoteproc1').entry).toBe('remoteproc1');
  });
});

describe('starting and stopping', () => {
  it('starts and stops', async () => {
    const remoteproc = find('imx-rproc');
    await remoteproc.setFirmware('other.elf');
    await remoteproc.start();
    expect(remoteproc.state).toBe('running');
    await remoteproc.stop();
    expect(remoteproc.state).toBe('offline');
    await remoteproc.stop();
    expect(fake.writes).toEqual(['firmware=other.elf', 'state=start', 'state=stop']);
  });

  it('starts once only: the kernel would count', async () => {
    const remoteproc = find('imx-rproc');
    await remoteproc.start();
    await remoteproc.start();
    await remoteproc.stop();
    expect(remoteproc.state).toBe('offline');
  });

  it('says when another start keeps it up', async () => {
    const remoteproc = find('imx-rproc');
    await remoteproc.start();
    await fake.system.write(`${fake.sysfsRoot}/class/remoteproc/remoteproc0/state`, 'start');
    await expect(remoteproc.stop()).rejects.toThrow(
      refused('still running after stop: it was started more than once'),
    );
    await remoteproc.stop();
    expect(remoteproc.state).toBe('offline');
  });

  it('attaches to one that runs by itself, and detaches from it', async () => {
    fake.add('remoteproc1', 'early', 'detached');
    const remoteproc = find('early');
    await expect(remoteproc.stop()).rejects.toThrow(refused('runs without the kernel'));
    await remoteproc.start();
    expect(remoteproc.state).toBe('attached');
    await remoteproc.detach();
    expect(remoteproc.state).toBe('detached');
    await remoteproc.detach();
    await expect(find('imx-rproc').detach()).rejects.toThrow(
      refused('is offline: only one that is attached'),
    );
  });

  it('recovers one that has crashed', async () => {
    fake.set('remoteproc0', 'state', 'crashed');
    const remoteproc = find('imx-rproc');
    await remoteproc.start();
    expect([remoteproc.state, fake.writes]).toEqual(['running', ['recovery=recover']]);
  });

  it('says where the kernel looks for firmware that it does not find', async () => {
    const remoteproc = find('imx-rproc');
    textFile(`${fake.sysfsRoot}/module/firmware_class/parameters/path`, '/opt/firmware\n');
    await remoteproc.setFirmware('missing.elf');
    await expect(remoteproc.start()).rejects.toThrow(
      refused('did not find the firmware "missing.elf": looked in /opt/firmware, /lib/firmware/updates/'),
    );
    expect(firmwareFolders(fake.sysfsRoot).at(-1)).toBe('/lib/firmware');
  });

  it('says when firmware is where the kernel should see it', async () => {
    const folder = scratchFolder();
    textFile(`${folder}/missing.elf`, '');
    textFile(`${fake.sysfsRoot}/module/firmware_class/parameters/path`, `${folder}\n`);
    const remoteproc = find('imx-rproc');
    await remoteproc.setFirmware('missing.elf');
    await expect(remoteproc.start()).rejects.toThrow(refused(`it is in ${folder} as this process sees it`));
  });

  it.each([
    ['EACCES', 'permission denied (EACCES): only root may write it, unless a udev rule'],
    ['EROFS', 'read-only here (EROFS)'],
    [
      'EINVAL',
      'does not take "start" in this state, or not this firmware (EINVAL); the kernel\'s log says why',
    ],
    ['EBUSY', 'busy (EBUSY); the kernel'],
    ['EIO', 'writing "start" failed: EIO'],
    ['ENODEV', 'the kernel has removed it'],
  ])('refused with %s says what to do', async (code, text) => {
    fake.refused.set('state=start', code);
    await expect(find('imx-rproc').start()).rejects.toThrow(refused(text));
  });

  it('chooses firmware while it is offline only', async () => {
    const remoteproc = find('imx-rproc');
    await remoteproc.start();
    await remoteproc.setFirmware('hub.elf');
    await expect(remoteproc.setFirmware('other.elf')).rejects.toThrow(
      refused('only while it is offline; it is running, with "hub.elf": stop it first'),
    );
  });

  it.each(['/lib/firmware/hub.elf', '../hub.elf', ' ', 'a\nb'])('takes no firmware %j', async (name) => {
    await expect(find('imx-rproc').setFirmware(name)).rejects.toThrow(refused('not a file name below'));
  });

  it('sets recovery when it is another one', async () => {
    const remoteproc = find('imx-rproc');
    expect(remoteproc.recovery).toBe('enabled');
    await remoteproc.setRecovery('enabled');
    await remoteproc.setRecovery('disabled');
    expect([remoteproc.recovery, fake.writes]).toEqual(['disabled', ['recovery=disabled']]);
  });

  it('says when it is gone', async () => {
    const remoteproc = find('imx-rproc');
    fake.remove('remoteproc0');
    expect(remoteproc.state).toBe('deleted');
    expect(remoteproc.firmware).toBe('');
    await expect(remoteproc.start()).rejects.toThrow(refused('the kernel has removed it'));
    await expect(remoteproc.stop()).rejects.toThrow(refused('the kernel has removed it'));
  });

  it('writes to the files of the running kernel', async () => {
    textFile(`${fake.sysfsRoot}/attribute`, '');
    await RUNNING_SYSTEM.write(`${fake.sysfsRoot}/attribute`, 'start');
    await expect(RUNNING_SYSTEM.write(`${fake.sysfsRoot}/none`, 'start')).rejects.toThrow('ENOENT');
  });
});

/** States as they are told. */
class Told {
  readonly states: RemoteprocState[] = [];
  #wake: () => void = () => {};
  readonly listener = (state: RemoteprocState): void => {
    this.states.push(state);
    this.#wake();
  };

  async until(count: number): Promise<readonly RemoteprocState[]> {
    while (this.states.length < count) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.states;
  }
}

describe('watching', () => {
  it("follows the kernel's log, also through what was over before it was read", async () => {
    const remoteproc = find('imx-rproc');
    await remoteproc.start();
    const told = new Told();
    const unwatch = remoteproc.watch(told.listener);
    expect(remoteproc.logFailure).toBeNull();
    // A crash that the kernel recovers from at once: the file says "running" all the time that anybody looks.
    fake.log('remoteproc0', 'remoteproc remoteproc0: handling crash #1 in imx-rproc');
    expect(await told.until(2)).toEqual(['crashed', 'running']);
    unwatch();
    unwatch();
  });

  it('takes no notice of other devices, and of other messages', async () => {
    const remoteproc = find('imx-rproc');
    const told = new Told();
    const unwatch = remoteproc.watch(told.listener);
    for (const [entry, text, subsystem] of [
      ['remoteproc1', 'handling crash #1 in m4', 'remoteproc'],
      ['remoteproc0', 'handling crash #1 in imx-rproc', 'usb'],
      ['remoteproc0', 'powering up imx-rproc', 'remoteproc'],
    ] as const) {
      fake.log(entry, text, subsystem);
      remoteproc.look();
    }
    expect(told.states).toEqual([]);
    fake.set('remoteproc0', 'state', 'running');
    fake.log('remoteproc0', 'remoteproc remoteproc0: remote processor imx-rproc is now up');
    expect(await told.until(1)).toEqual(['running']);
    unwatch();
  });

  it('tells what it did itself once', async () => {
    const remoteproc = find('imx-rproc');
    const told = new Told();
    const unwatch = remoteproc.watch(told.listener);
    await remoteproc.start();
    fake.log('remoteproc0', 'remoteproc remoteproc0: remote processor imx-rproc is now up');
    remoteproc.look();
    await remoteproc.stop();
    fake.log('remoteproc0', 'remoteproc remoteproc0: stopped remote processor imx-rproc');
    remoteproc.look();
    expect(told.states).toEqual(['running', 'offline']);
    unwatch();
  });

  it('without the log looks at intervals while it is not up, and never while it is', async () => {
    fake.close();
    fake = new FakeRemoteproc(false);
    fake.add('remoteproc0', 'imx-rproc', 'offline');
    vi.useFakeTimers();
    const remoteproc = find('imx-rproc');
    const told = new Told();
    const unwatch = remoteproc.watch(told.listener);
    expect(remoteproc.logFailure).toContain('ENOENT');
    expect(vi.getTimerCount()).toBe(1);
    fake.set('remoteproc0', 'state', 'running');
    vi.advanceTimersByTime(LOOK_INTERVAL_MS);
    expect(told.states).toEqual(['running']);
    expect(vi.getTimerCount()).toBe(0);
    // Who sees requests time out asks.
    fake.set('remoteproc0', 'state', 'crashed');
    remoteproc.look();
    expect(told.states).toEqual(['running', 'crashed']);
    expect(vi.getTimerCount()).toBe(1);
    unwatch();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('tells each listener until it stops', () => {
    const remoteproc = find('imx-rproc');
    const [first, second] = [new Told(), new Told()];
    const unwatch = remoteproc.watch(first.listener);
    const unwatchSecond = remoteproc.watch(second.listener);
    fake.set('remoteproc0', 'state', 'running');
    remoteproc.look();
    unwatch();
    fake.remove('remoteproc0');
    remoteproc.look();
    unwatchSecond();
    remoteproc.look();
    expect([first.states, second.states]).toEqual([['running'], ['running', 'deleted']]);
  });
});
