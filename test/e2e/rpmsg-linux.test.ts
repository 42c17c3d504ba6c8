import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RpmsgPeer } from '../../src/testing/rpmsg-peer.ts';
import { encodeHeader, NAME_SERVICE_ADDRESS } from '../../src/wire/rpmsg.ts';
import { kernelComplaints } from './lab/guest-chip.ts';
import { Resources } from './lab/resources.ts';
import { RpmsgBackEnd } from './lab/rpmsg-back-end.ts';
import { ScratchFolder } from './lab/scratch-folder.ts';
import { UmlGuest } from './lab/uml-guest.ts';

const VIRTIO_ID_RPMSG = 7;
/** Of the co-processor's endpoints. */
const RAW = 30;
const TTY = 31;

// Linux's own virtio_rpmsg_bus, rpmsg_ns, rpmsg_char and rpmsg_tty judge the device side that our bus is tested against: what
// Linux takes from it, our bus has to take, and what Linux sends, our bus may send.
describe('the played rpmsg firmware as a vhost-user back-end of a Linux guest', () => {
  const resources = new Resources();
  let backEnd: RpmsgBackEnd;
  let peer: RpmsgPeer;
  let guest: UmlGuest;

  beforeAll(async () => {
    const socketPath = resources.add(new ScratchFolder()).file('rpmsg.sock');
    backEnd = resources.add(new RpmsgBackEnd(socketPath));
    guest = resources.add(
      await UmlGuest.boot({
        devices: [{ socketPath, deviceId: VIRTIO_ID_RPMSG }],
      }),
    );
    peer = await backEnd.started();
  });
  afterAll(() => resources.close());

  /** Runs a shell command in the guest. @throws Error when it fails, with the end of the kernel's log */
  async function run(command: string): Promise<string> {
    const { exitCode, stdout, stderr } = await guest.run(command);
    if (exitCode === 0) return stdout;
    const { stdout: log } = await guest.run('dmesg | tail -n 20');
    throw new Error(`${command} ended with ${exitCode}: ${stdout}${stderr}\n${log}`);
  }

  /** Until the guest has (or has no longer) a file. */
  async function untilFile(path: string, exists: boolean): Promise<void> {
    await run(`while [ ${exists ? '!' : ''} -e ${path} ]; do usleep 10000; done`);
  }

  async function untilLogged(text: string): Promise<void> {
    await run(`until dmesg | grep -q '${text}'; do usleep 10000; done`);
  }

  it('has posted all its buffers, and kicked vring 0, when it is up', async () => {
    expect(backEnd.kicks.lines[0]).toBe('kick 0');
    expect(await run('ls /dev | grep rpmsg')).toBe('rpmsg_ctrl0\n');
  });

  it('makes /dev/rpmsg0 of the channel rpmsg-raw', async () => {
    expect(peer.create('rpmsg-raw', RAW)).toBe(true);
    await untilFile('/dev/rpmsg0', true);
    expect(await run('cat /sys/class/rpmsg/rpmsg0/name /sys/class/rpmsg/rpmsg0/dst')).toBe('rpmsg-raw\n30\n');
  });

  it('carries messages both ways', async () => {
    peer.listen(RAW, (payload, source) => {
      peer.send(RAW, source, Uint8Array.of(source & 0xff, source >>> 8, ...payload.toReversed()));
    });
    const long = `${'x'.repeat(490)}y`;
    // Each write is a message, and each read.
    const output = await run(
      `exec 3<>/dev/rpmsg0; for word in a hello ${long}; do printf %s $word >&3; dd bs=512 count=1 <&3 2>/dev/null | hexdump -v -e '1/1 "%02x"'; echo; done`,
    );
    peer.listen(RAW, null);
    const hex = (text: string): string => Buffer.from(text, 'latin1').toString('hex');
    // Linux's first dynamic address is 1024: the bytes 00 04.
    expect(output.trim().split('\n')).toEqual([
      `0004${hex('a')}`,
      `0004${hex('olleh')}`,
      `0004${hex(`y${'x'.repeat(490)}`)}`,
    ]);
  });

  it('takes messages of all 496 bytes, and Linux sends no longer ones', async () => {
    const write = (sizeBytes: number): string =>
      `head -c ${sizeBytes} /dev/zero | tr '\\0' z > /tmp/z; dd if=/tmp/z of=/dev/rpmsg0 bs=1000`;
    await run(write(496));
    expect(await backEnd.received.waitFor(/z/)).toBe(`1024>30 ${'z'.repeat(496)}`);
    expect((await guest.run(write(497))).exitCode).not.toBe(0);
  });

  it('has its receive buffers back, however many messages come', async () => {
    const count = 2000;
    const reader = guest.start(`dd if=/dev/rpmsg0 of=/tmp/read bs=512 count=${count}`);
    const pid = await reader.pid();
    await run(`until ls -l /proc/${pid}/fd | grep -q rpmsg0; do usleep 10000; done`);
    for (let i = 0; i < count; ) {
      const kicks = backEnd.kicks.lines.length;
      if (peer.push(RAW, 1024, Buffer.from(`${i}`.padStart(8, '0')))) {
        i++;
        continue;
      }
      peer.publish();
      // Linux owes buffers: it kicks when it has posted some.
      if (!peer.awaitBuffers()) await backEnd.kicks.waitForCount(kicks + 1);
    }
    peer.publish();
    expect((await reader.exit()).exitCode).toBe(0);
    const sum = createHash('md5');
    for (let i = 0; i < count; i++) sum.update(`${i}`.padStart(8, '0'));
    expect(await run('md5sum < /tmp/read')).toBe(`${sum.digest('hex')}  -\n`);
  });

  it('destroys the channel under a reader, and creates it again', async () => {
    const reader = guest.start('cat /dev/rpmsg0');
    const pid = await reader.pid();
    await run(`until ls -l /proc/${pid}/fd | grep -q rpmsg0; do usleep 10000; done`);
    peer.destroy('rpmsg-raw', RAW);
    await untilFile('/dev/rpmsg0', false);
    // EPIPE: the device behind the descriptor is gone.
    expect((await reader.exit()).exitCode).not.toBe(0);
    for (let round = 0; round < 3; round++) {
      peer.create('rpmsg-raw', RAW + 100);
      await untilFile('/dev/rpmsg0', true);
      expect(await run('cat /sys/class/rpmsg/rpmsg0/dst')).toBe(`${RAW + 100}\n`);
      await run(`printf again${round} > /dev/rpmsg0`);
      expect(await backEnd.received.waitFor(new RegExp(`again${round}`))).toBe(
        `1024>${RAW + 100} again${round}`,
      );
      peer.destroy('rpmsg-raw', RAW + 100);
      await untilFile('/dev/rpmsg0', false);
    }
  });

  it('has several channels at once, each with an address of its own', async () => {
    peer.create('rpmsg-raw', RAW);
    peer.create('rpmsg-tty', TTY);
    await untilFile('/dev/rpmsg0', true);
    await untilFile('/dev/ttyRPMSG0', true);
    await run('printf raw > /dev/rpmsg0; stty raw < /dev/ttyRPMSG0; printf tty > /dev/ttyRPMSG0');
    expect(await backEnd.received.waitFor(/tty/)).toBe(`1025>${TTY} tty`);
    expect(await backEnd.received.waitFor(/ raw/)).toBe(`1024>${RAW} raw`);
  });

  // What our bus drops and counts, Linux drops and logs.
  it('sends nothing sensible, and Linux drops it as our bus does', async () => {
    const devices = await run('ls /sys/bus/rpmsg/devices');
    peer.create('rpmsg-raw', RAW);
    await untilLogged('channel rpmsg-raw:ffffffff:1e already exist');
    peer.destroy('no-such', 99);
    await untilLogged('rpmsg_destroy_channel failed: -22');
    peer.send(RAW, 999, Uint8Array.of(1));
    await untilLogged('msg received with no recipient');
    const long = new Uint8Array(20);
    encodeHeader({ source: RAW, destination: 1024, length: 5, flags: 0 }, long);
    peer.pushRaw(long);
    peer.publish();
    await untilLogged('inbound msg too big');
    peer.send(RAW, NAME_SERVICE_ADDRESS, new Uint8Array(39));
    await untilLogged('malformed ns msg (39)');
    expect(await run('ls /sys/bus/rpmsg/devices')).toBe(devices);
    await run('printf alive > /dev/rpmsg0');
    expect(await backEnd.received.waitFor(/alive/)).toBe(`1024>${RAW} alive`);
  });

  it('leaves nothing to complain about but what was provoked', async () => {
    expect(await kernelComplaints(guest)).toEqual([]);
  });
});
