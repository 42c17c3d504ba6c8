import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { defaultDemoFolder, demoConfig, HOST_FIRMWARE } from '../../src/daemon/demo-config.ts';

const OPTIONS = { mqttPort: 0, controlSocket: undefined };

function scratchFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'rproc-gpio-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

afterEach(() => {
  vi.unstubAllEnvs();
});

describe('defaultDemoFolder', () => {
  it('is in XDG_RUNTIME_DIR, or one of this user in the folder for temporary files', () => {
    vi.stubEnv('XDG_RUNTIME_DIR', '/run/user/1');
    expect(defaultDemoFolder()).toBe('/run/user/1/rproc-gpio-demo');
    vi.stubEnv('XDG_RUNTIME_DIR', '');
    expect(defaultDemoFolder()).toBe(join(tmpdir(), `rproc-gpio-demo-${process.getuid!()}`));
  });
});

describe('demoConfig', () => {
  it('makes the folder and names the sockets and the firmware in it', () => {
    const folder = join(scratchFolder(), 'demo');
    const { config, pinsSocket, guestSocket } = demoConfig(folder, OPTIONS);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect([pinsSocket, guestSocket]).toEqual([join(folder, 'pins.sock'), join(folder, 'vm1.sock')]);
    expect(config.coprocessors.hub!.exec!.command).toEqual([
      HOST_FIRMWARE,
      `--pins=${pinsSocket}`,
      '--dialect=virtio-gpio',
    ]);
    expect(config.exports.vm1!.socket).toBe(guestSocket);
    expect(config.mqtt).toMatchObject({ broker: 'embedded', port: 0, gateway: 'demo' });
    expect(config.control).toEqual({ enabled: true, access: 'write' });
    const controlSocket = join(folder, 'control.sock');
    expect(demoConfig(folder, { ...OPTIONS, controlSocket }).config.control.socket).toBe(controlSocket);
  });

  it('takes a folder that is there as it is', () => {
    const folder = scratchFolder();
    chmodSync(folder, 0o755);
    demoConfig(folder, OPTIONS);
    expect(statSync(folder).mode & 0o777).toBe(0o755);
  });

  it('refuses a folder in which others could replace the sockets', () => {
    const folder = scratchFolder();
    chmodSync(folder, 0o777);
    expect(() => demoConfig(folder, OPTIONS)).toThrow(/others may replace files/);
    // As /tmp is: everybody may write, to files of their own.
    chmodSync(folder, 0o1777);
    expect(demoConfig(folder, OPTIONS).guestSocket).toBe(join(folder, 'vm1.sock'));
  });

  it('refuses a file, a link, and a place where no folder can be made', () => {
    const folder = scratchFolder();
    writeFileSync(join(folder, 'file'), '');
    mkdirSync(join(folder, 'elsewhere'));
    symlinkSync(join(folder, 'elsewhere'), join(folder, 'link'));
    expect(() => demoConfig(join(folder, 'file'), OPTIONS)).toThrow(/not a folder of this user/);
    expect(() => demoConfig(join(folder, 'link'), OPTIONS)).toThrow(/not a folder of this user/);
    expect(() => demoConfig(join(folder, 'file', 'below'), OPTIONS)).toThrow(/cannot be made \(ENOTDIR\)/);
    expect(() => demoConfig('/proc/nowhere', OPTIONS)).toThrow(/cannot be made \(ENOENT\)/);
  });
});
