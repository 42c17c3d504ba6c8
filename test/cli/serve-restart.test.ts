import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { VhostUserFrontEnd } from '../../src/testing/front-end.ts';
import {
  MSG_GET_VALUE,
  MSG_SET_DIRECTION,
  MSG_SET_IRQ_TYPE,
  MSG_SET_VALUE,
} from '../../src/wire/virtio-gpio.ts';
import { CommandProcess, isAlive, scratchFolder } from './command-process.ts';

/** Line 2k of the chip is wired to line 2k+1. */
const CONFIG = `chips: { sim: { type: sim, lines: 4 } }
exports: { vm1: { socket: vm1.sock, lines: ['sim/*'] } }
`;

async function serve(cwd: string): Promise<CommandProcess> {
  const command = new CommandProcess(['serve'], { cwd });
  await command.until(/^ready.*\n/);
  return command;
}

describe('a service that is killed under a guest', () => {
  it('goes on where it was: outputs are the guest’s, and an armed interrupt fires', async () => {
    const cwd = scratchFolder();
    writeFileSync(join(cwd, 'rproc-gpio.yaml'), CONFIG);
    const killed = await serve(cwd);
    const guest = await VhostUserFrontEnd.connect({ socketPath: join(cwd, 'vm1.sock'), timeoutMs: 10_000 });
    onTestFinished(() => guest.close());
    await guest.request(MSG_SET_VALUE, 2, 1);
    await guest.request(MSG_SET_DIRECTION, 2, 1);
    await guest.request(MSG_SET_DIRECTION, 0, 1);
    expect((await guest.request(MSG_SET_IRQ_TYPE, 1, 3)).status).toBe(0);
    guest.queueEvent(1);
    expect((await guest.request(MSG_GET_VALUE, 1)).value).toBe(0);
    expect(await killed.terminate('SIGKILL')).toBe('SIGKILL');
    await guest.disconnected();
    expect(statSync(join(cwd, 'vm1.sock.resume')).mode & 0o777).toBe(0o600);
    const again = await serve(cwd);
    await guest.reconnect('keep');
    // The simulated chip began anew: the output was driven again before the guest asked.
    expect((await guest.request(MSG_GET_VALUE, 3)).value).toBe(1);
    expect((await guest.request(MSG_SET_VALUE, 0, 1)).status).toBe(0);
    expect(await guest.nextEvent()).toMatchObject({ gpio: 1, status: 1 });
    expect(await again.terminate()).toBe(0);
  });

  it('keeps nothing when it is told not to', async () => {
    const cwd = scratchFolder();
    writeFileSync(
      join(cwd, 'rproc-gpio.yaml'),
      CONFIG.replace("lines: ['sim/*']", "resume: false, lines: ['sim/*']"),
    );
    const command = await serve(cwd);
    expect(existsSync(join(cwd, 'vm1.sock.resume'))).toBe(false);
    expect(await command.terminate()).toBe(0);
  });
});

const HUB = fileURLToPath(new URL('../../build/Release/sensor-hub', import.meta.url));

describe('a service that is killed over its firmware', () => {
  it('takes it along, even if that stands still, so that the next service can start its own', async () => {
    const cwd = scratchFolder();
    writeFileSync(
      join(cwd, 'rproc-gpio.yaml'),
      `coprocessors:
  hub:
    memory: [{ type: memfd, sizeBytes: 256KiB, deviceAddress: 0x20000000 }]
    resourceTable: { deviceAddress: 0x20000000 }
    doorbell: { type: eventfd }
    exec: { command: ['${HUB}', --pins=pins.sock] }
chips: { hub: { coprocessor: hub } }
`,
    );
    const killed = await serve(cwd);
    const { pid } = killed.child;
    const firmware = Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim());
    process.kill(firmware, 'SIGSTOP');
    await killed.terminate('SIGKILL');
    await vi.waitFor(() => expect(isAlive(firmware)).toBe(false), 10_000);
    expect(await (await serve(cwd)).terminate()).toBe(0);
  });
});
