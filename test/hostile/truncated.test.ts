import {
  closeSync,
  ftruncateSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { HOST_FIRMWARE } from '../../src/daemon/demo-config.ts';
import { createMemfd } from '../../src/native.ts';
import { VhostUserFrontEnd } from '../../src/testing/front-end.ts';
import type { FrontEndOptions } from '../../src/testing/front-end-options.ts';
import { PROTOCOL_FEATURE } from '../../src/wire/vhost-user.ts';
import {
  MSG_GET_VALUE,
  MSG_SET_DIRECTION,
  MSG_SET_VALUE,
  REQUEST_QUEUE,
  REQUEST_SIZE,
  RESPONSE_SIZE,
} from '../../src/wire/virtio-gpio.ts';
import { DESC_F_NEXT, DESC_F_WRITE } from '../../src/wire/vring.ts';
import { CommandProcess, scratchFolder } from '../cli/command-process.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
/** Rings in the first one; in the second one what a test puts there. */
const REGIONS = [
  { guestPhysicalAddress: 0x8000_0000, sizeBytes: MIB, mmapOffset: 0 },
  { guestPhysicalAddress: 0x1_0000_0000, sizeBytes: 2 * MIB, mmapOffset: 0 },
] as const;
const SIM = 'chips: { sim: { type: sim, lines: 8 } }\n';
const EXPORTS = `exports:
  vm1: { socket: vm1.sock, lines: ['sim/*'] }
  vm2: { socket: vm2.sock, lines: ['sim/*'] }
`;

async function serve(config: string): Promise<{ command: CommandProcess; cwd: string }> {
  const cwd = scratchFolder();
  writeFileSync(join(cwd, 'rproc-gpio.yaml'), config.replaceAll('$FOLDER', cwd));
  const command = new CommandProcess(['serve'], { cwd });
  await command.until(/^ready/m);
  return { command, cwd };
}

async function guest(
  cwd: string,
  name: string,
  options: Partial<FrontEndOptions> = {},
): Promise<VhostUserFrontEnd> {
  const made = await VhostUserFrontEnd.connect({
    socketPath: join(cwd, `${name}.sock`),
    timeoutMs: 10_000,
    ...options,
  });
  onTestFinished(() => made.close());
  return made;
}

/** Sends requests without pause until it is told to end. */
function traffic(of: VhostUserFrontEnd, line: number) {
  let isEnding = false;
  let answered = 0;
  const run = (async () => {
    while (!isEnding) {
      const { status } = await of.request(MSG_GET_VALUE, line);
      if (status !== 0) throw new Error(`status ${status}`);
      answered++;
    }
  })();
  // Whoever waits for the end hears of it.
  run.catch(() => {});
  const tell = (): number => answered;
  const end = async (): Promise<number> => {
    isEnding = true;
    await run;
    return answered;
  };
  return { run, tell, end };
}

async function grows(tell: () => number): Promise<void> {
  const before = tell();
  const deadline = performance.now() + 10_000;
  while (tell() < before + 100) {
    if (performance.now() > deadline) throw new Error('the other guest is not answered any more');
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const complaints = (command: CommandProcess): string[] => command.stderr.match(/^(warn|error): .*$/gm) ?? [];

/** How many descriptors and mappings a process has. */
function holdings(pid: number): { descriptors: number; mappings: number } {
  return {
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    mappings: readFileSync(`/proc/${pid}/maps`, 'utf8').match(/memfd:rproc-gpio-guest/g)?.length ?? 0,
  };
}

describe('a guest that truncates its memory under a whole service', () => {
  it.each(['its rings', 'its buffers'])(
    '%s, while they are in use: only its connection ends, 20 times',
    async (what) => {
      const { command, cwd } = await serve(SIM + EXPORTS);
      const honest = traffic(await guest(cwd, 'vm2'), 3);
      let settled: ReturnType<typeof holdings> | undefined;
      for (let round = 1; round <= 20; round++) {
        const hostile = await guest(cwd, 'vm1', { regions: REGIONS });
        const asks = traffic(hostile, 0);
        const over = asks.run.catch(() => {});
        await grows(asks.tell);
        if (what === 'its rings') {
          ftruncateSync(hostile.memory.descriptors[0]!, 0);
          hostile.vring(REQUEST_QUEUE).kick();
        } else {
          await asks.end();
          ftruncateSync(hostile.memory.descriptors[1]!, 64 * KIB);
          const address = REGIONS[1].guestPhysicalAddress + MIB;
          const request = { address, length: REQUEST_SIZE, flags: DESC_F_NEXT };
          const response = { address: address + 8, length: RESPONSE_SIZE, flags: DESC_F_WRITE };
          hostile.rawChain([request, response]).catch(() => {});
        }
        await hostile.disconnected();
        hostile.close();
        await over;
        await grows(honest.tell);
        settled ??= holdings(command.child.pid!);
      }
      expect(complaints(command)).toHaveLength(20);
      expect(new Set(complaints(command))).toEqual(
        new Set([
          expect.stringMatching(
            /^warn: guest vm1: connection closed: the front-end truncated the memory it shares \(region 0x/,
          ),
        ]),
      );
      const after = await guest(cwd, 'vm1');
      expect((await after.request(MSG_SET_DIRECTION, 0, 1)).status).toBe(0);
      after.close();
      await grows(honest.tell);
      expect(holdings(command.child.pid!)).toEqual(settled);
      expect(await honest.end()).toBeGreaterThan(0);
      expect(await command.terminate()).toBe(0);
    },
  );

  it('the inflight memory that it brought itself: its connection ends; that of the service is sealed', async () => {
    const { command, cwd } = await serve(SIM + EXPORTS);
    const honest = traffic(await guest(cwd, 'vm2'), 3);
    const protocolFeatures = PROTOCOL_FEATURE.INFLIGHT_SHMFD | PROTOCOL_FEATURE.CONFIG | PROTOCOL_FEATURE.MQ;
    const hostile = await guest(cwd, 'vm1', { protocolFeatures });
    const { fd: ours } = await hostile.control.getInflight(2, 64);
    expect(() => ftruncateSync(ours, 0)).toThrow(/EPERM/);
    closeSync(ours);
    const fd = createMemfd('inflight', 4 * KIB);
    onTestFinished(() => closeSync(fd));
    await hostile.control.setInflight({ mmapSizeBytes: 2176n, mmapOffset: 0n, queues: 2, queueSize: 64 }, fd);
    // Answered: the service has mapped it.
    expect((await hostile.request(MSG_GET_VALUE, 0)).status).toBe(0);
    ftruncateSync(fd, 0);
    hostile.request(MSG_GET_VALUE, 0).catch(() => {});
    await hostile.disconnected();
    await grows(honest.tell);
    const after = await guest(cwd, 'vm1', { protocolFeatures });
    expect((await after.request(MSG_GET_VALUE, 0)).status).toBe(0);
    expect(complaints(command)).toEqual([
      'warn: guest vm1: connection closed: the front-end truncated the inflight memory',
    ]);
    await honest.end();
  });
});

describe('memory of a co-processor that is truncated under a whole service', () => {
  const HUB = (doorbell: string, exec: string) => `coprocessors:
  hub:
    memory: [{ type: file, path: ram, sizeBytes: 256KiB, deviceAddress: 0x20000000 }]
    resourceTable: { deviceAddress: 0x20000000 }
    doorbell: { type: ${doorbell} }
${exec}chips: { hub: { coprocessor: hub }, sim: { type: sim, lines: 8 } }
exports:
  vm1: { socket: vm1.sock, lines: ['hub/LOOP_OUT', 'hub/LOOP_IN'] }
  vm2: { socket: vm2.sock, lines: ['sim/*'] }
`;
  const FIRMWARE = `    exec: { command: [${HOST_FIRMWARE}, '--pins=$FOLDER/pins'] }\n`;

  async function withRam(config: string): Promise<{ command: CommandProcess; cwd: string }> {
    const cwd = scratchFolder();
    writeFileSync(join(cwd, 'ram'), '');
    truncateSync(join(cwd, 'ram'), 256 * KIB);
    writeFileSync(join(cwd, 'rproc-gpio.yaml'), config.replaceAll('$FOLDER', cwd));
    return { command: new CommandProcess(['serve'], { cwd }), cwd };
  }

  it('while a guest uses it: its chip is away with the reason, and comes back with the memory', async () => {
    const { command, cwd } = await withRam(HUB('eventfd', FIRMWARE));
    await command.until(/^ready/m);
    const honest = traffic(await guest(cwd, 'vm2'), 3);
    const user = await guest(cwd, 'vm1');
    expect((await user.request(MSG_SET_VALUE, 0, 1)).status).toBe(0);
    expect((await user.request(MSG_SET_DIRECTION, 0, 1)).status).toBe(0);
    truncateSync(join(cwd, 'ram'), 0);
    expect((await user.request(MSG_SET_VALUE, 0, 0)).status).toBe(1);
    await command.until(/^error: hub: (the memory at .* was truncated|firmware .* SIGBUS)/m, 'stderr');
    await command.until(/not back yet: memory file .* has 0 bytes, too few/, 'stderr');
    await grows(honest.tell);
    expect((await user.request(MSG_GET_VALUE, 1)).status).toBe(1);
    truncateSync(join(cwd, 'ram'), 256 * KIB);
    await command.until(/^info: hub: is back after/m, 'stderr');
    // The guest has stayed connected all the while; its output is as the service knows that it was confirmed.
    expect((await user.request(MSG_GET_VALUE, 1)).value).toBe(1);
    expect((await user.request(MSG_SET_VALUE, 0, 0)).status).toBe(0);
    expect((await user.request(MSG_GET_VALUE, 1)).value).toBe(0);
    await honest.end();
    expect(await command.terminate()).toBe(0);
  });

  it('while the service starts: that co-processor is refused with the reason, the others are served', async () => {
    const { command, cwd } = await withRam(
      HUB('poll', '').replace('    doorbell', '    startTimeoutMs: 60000\n    doorbell'),
    );
    // Mapped, and being looked at for a resource table that nobody writes.
    await new Promise<void>((resolve, reject) => {
      const deadline = performance.now() + 10_000;
      const look = (): void => {
        const isMapped = readFileSync(`/proc/${command.child.pid}/maps`, 'utf8').includes(join(cwd, 'ram'));
        if (isMapped) resolve();
        else if (performance.now() > deadline) reject(new Error('the memory is not mapped'));
        else setTimeout(look, 20);
      };
      look();
    });
    truncateSync(join(cwd, 'ram'), 0);
    await command.until(/^ready: vm2/m);
    expect(complaints(command)).toEqual([
      expect.stringMatching(
        /^error: co-processor hub is refused: the memory at .* was truncated by somebody/,
      ),
      expect.stringMatching(/^error: export vm1 is refused: its chip hub could not be opened/),
    ]);
    const honest = await guest(cwd, 'vm2');
    expect((await honest.request(MSG_GET_VALUE, 0)).status).toBe(0);
    expect(await command.terminate()).toBe(0);
  });

  it('cannot happen to memory that the service makes for its firmware: it is sealed', async () => {
    const config = HUB('eventfd', FIRMWARE).replace('type: file, path: ram', 'type: memfd');
    const { command } = await serve(config);
    const pid = command.child.pid!;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
    expect(children).toHaveLength(1);
    expect(() => truncateSync(`/proc/${children[0]}/fd/3`, 0)).toThrow(/EPERM/);
    expect(() => truncateSync(`/proc/${children[0]}/fd/3`, 512 * KIB)).toThrow(/EPERM/);
    expect(await command.terminate()).toBe(0);
  });
});

describe('the record of a guest that is truncated under a whole service', () => {
  it('is said once; all guests go on, and the next service begins it anew', async () => {
    const { command, cwd } = await serve(SIM + EXPORTS);
    const honest = traffic(await guest(cwd, 'vm2'), 3);
    const user = await guest(cwd, 'vm1');
    const record = join(cwd, 'vm1.sock.resume');
    const { size } = statSync(record);
    truncateSync(record, 0);
    for (const value of [1, 0, 1]) {
      expect((await user.request(MSG_SET_VALUE, 0, value)).status).toBe(0);
      expect((await user.request(MSG_SET_DIRECTION, 0, 1)).status).toBe(0);
    }
    await command.until(/somebody truncated/, 'stderr');
    await grows(honest.tell);
    await honest.end();
    expect(complaints(command)).toEqual([
      `warn: export vm1: somebody truncated ${record}: what the guest sets is kept as long as this service runs`,
    ]);
    expect(await command.terminate('SIGKILL')).toBe('SIGKILL');
    const again = new CommandProcess(['serve'], { cwd });
    await again.until(/^ready/m);
    expect(statSync(record).size).toBe(size);
    await user.reconnect('keep');
    expect((await user.request(MSG_GET_VALUE, 0)).status).toBe(0);
    expect(await again.terminate()).toBe(0);
  });
});
