import { describe, expect, it } from 'vitest';
import {
  encodeDescriptor,
  encodeRequest,
  KNOWN_FEATURES,
  type RawDescriptor,
  type VhostUserFrontEnd,
} from '../../../src/testing/front-end.ts';
import {
  EVENT_QUEUE,
  MSG_GET_VALUE,
  MSG_SET_IRQ_TYPE,
  REQUEST_QUEUE,
} from '../../../src/wire/virtio-gpio.ts';
import {
  DESC_F_INDIRECT,
  DESC_F_NEXT,
  DESC_F_WRITE,
  FEATURE_INDIRECT_DESC,
} from '../../../src/wire/vring.ts';
import { serveSimulatedChip, until } from './served-device.ts';

const REGION = { guestPhysicalAddress: 0x1_0000_0000, sizeBytes: 0x10_0000 };
const END = REGION.guestPhysicalAddress + REGION.sizeBytes;
const OK = { status: 0, value: 1, usedLength: 2 };
const UNTOUCHED = 0xee;

/** Addresses in the guest's memory: a request for the value of line 1, room for answers, room for tables. */
interface Places {
  readonly request: number;
  readonly response: number;
  readonly table: number;
}

function placesIn(guest: VhostUserFrontEnd): Places {
  const { memory } = guest;
  const request = memory.allocate(16, 16);
  memory.write(request, encodeRequest(MSG_GET_VALUE, 1, 0));
  const response = memory.allocate(16, 16);
  memory.write(response, new Uint8Array(16).fill(UNTOUCHED));
  return { request, response, table: memory.allocate(0x8000, 16) };
}

const readable = (address: number | bigint, length = 8): RawDescriptor => ({
  address,
  length,
  flags: DESC_F_NEXT,
});
const writable = (address: number | bigint, length = 2): RawDescriptor => ({
  address,
  length,
  flags: DESC_F_WRITE,
});

/** An indirect table in guest memory; the descriptor that names it. */
function indirect(
  guest: VhostUserFrontEnd,
  { table }: Places,
  descriptors: readonly RawDescriptor[],
  length = descriptors.length * 16,
): RawDescriptor {
  for (const [at, descriptor] of descriptors.entries()) {
    guest.memory.write(table + at * 16, encodeDescriptor({ next: at + 1, ...descriptor }));
  }
  return { address: table, length, flags: DESC_F_INDIRECT };
}

interface BadChain {
  readonly what: string;
  readonly reason: string;
  /** Used length; with 2 the answer is ERR. */
  readonly used: number;
  chain(places: Places, guest: VhostUserFrontEnd): readonly RawDescriptor[];
}

const BAD_CHAINS: readonly BadChain[] = [
  {
    what: 'one descriptor, to be read',
    reason: 'no-room-for-response',
    used: 0,
    chain: ({ request }) => [{ address: request, length: 8, flags: 0 }],
  },
  {
    what: 'one descriptor, to be written',
    reason: 'short-request',
    used: 2,
    chain: ({ response }) => [writable(response)],
  },
  {
    what: 'a loop of one descriptor',
    reason: 'loop',
    used: 0,
    chain: ({ request }) => [readable(request), { ...readable(request), next: 63 }],
  },
  {
    what: 'a loop of two descriptors',
    reason: 'loop',
    used: 0,
    chain: ({ request }) => [readable(request), readable(request), { ...readable(request), next: 63 }],
  },
  {
    what: 'a loop of descriptors to be written',
    reason: 'loop',
    used: 0,
    chain: ({ request, response }) => [
      readable(request),
      { address: response, length: 2, flags: DESC_F_WRITE | DESC_F_NEXT, next: 63 },
    ],
  },
  {
    what: 'next out of range by one',
    reason: 'next-out-of-range',
    used: 0,
    chain: ({ request }) => [{ ...readable(request), next: 64 }],
  },
  {
    what: 'next out of range by far',
    reason: 'next-out-of-range',
    used: 0,
    chain: ({ request }) => [{ ...readable(request), next: 0xffff }],
  },
  {
    what: 'a request at address 0',
    reason: 'address-outside-memory',
    used: 0,
    chain: ({ response }) => [readable(0), writable(response)],
  },
  {
    what: 'a response at 2^64 - 1',
    reason: 'address-outside-memory',
    used: 0,
    chain: ({ request }) => [readable(request), writable((1n << 64n) - 1n)],
  },
  {
    what: 'a response at 2^53 + 1',
    reason: 'address-outside-memory',
    used: 0,
    chain: ({ request }) => [readable(request), writable((1n << 53n) + 1n)],
  },
  {
    what: 'a request that wraps around 2^64',
    reason: 'address-outside-memory',
    used: 0,
    chain: ({ response }) => [readable((1n << 64n) - 4n), writable(response)],
  },
  {
    what: 'a request past the end of its region',
    reason: 'address-outside-memory',
    used: 0,
    chain: ({ response }) => [readable(END - 4), writable(response)],
  },
  {
    what: 'a response past the end of its region',
    reason: 'address-outside-memory',
    used: 0,
    chain: ({ request }) => [readable(request), writable(END - 1)],
  },
  {
    what: 'a request of 4 GiB less one byte',
    reason: 'address-outside-memory',
    used: 0,
    chain: ({ request, response }) => [readable(request, 0xffff_ffff), writable(response)],
  },
  {
    what: 'more than 4 GiB in all',
    reason: 'too-long',
    used: 0,
    chain: ({ request }) => [readable(request), writable(request, 0xffff_ffff)],
  },
  {
    what: 'a request of 7 bytes',
    reason: 'short-request',
    used: 2,
    chain: ({ request, response }) => [readable(request, 7), writable(response)],
  },
  {
    what: 'a request of 0 bytes',
    reason: 'short-request',
    used: 2,
    chain: ({ request, response }) => [readable(request, 0), writable(response)],
  },
  {
    what: 'a response of 0 bytes',
    reason: 'no-room-for-response',
    used: 0,
    chain: ({ request, response }) => [readable(request), writable(response, 0)],
  },
  {
    what: 'a response of 1 byte',
    reason: 'no-room-for-response',
    used: 1,
    chain: ({ request, response }) => [readable(request), writable(response, 1)],
  },
  {
    what: 'write before read',
    reason: 'write-before-read',
    used: 0,
    chain: ({ request, response }) => [
      { address: response, length: 2, flags: DESC_F_WRITE | DESC_F_NEXT },
      { address: request, length: 8, flags: 0 },
    ],
  },
  {
    what: 'an indirect table of no bytes',
    reason: 'bad-indirect',
    used: 0,
    chain: (places, guest) => [indirect(guest, places, [readable(places.request)], 0)],
  },
  {
    what: 'an indirect table of 17 bytes',
    reason: 'bad-indirect',
    used: 0,
    chain: (places, guest) => [indirect(guest, places, [readable(places.request)], 17)],
  },
  {
    what: 'an indirect table outside of memory',
    reason: 'address-outside-memory',
    used: 0,
    chain: () => [{ address: 0x1000, length: 32, flags: DESC_F_INDIRECT }],
  },
  {
    what: 'an indirect table past the end of its region',
    reason: 'address-outside-memory',
    used: 0,
    chain: () => [{ address: END - 16, length: 32, flags: DESC_F_INDIRECT }],
  },
  {
    what: 'a misaligned indirect table',
    reason: 'bad-indirect',
    used: 0,
    chain: ({ table }) => [{ address: table + 2, length: 32, flags: DESC_F_INDIRECT }],
  },
  {
    what: 'an indirect table of 2000 descriptors',
    reason: 'too-long',
    used: 0,
    chain: ({ table }) => [{ address: table, length: 32_000, flags: DESC_F_INDIRECT }],
  },
  {
    what: 'an indirect table in an indirect table',
    reason: 'bad-indirect',
    used: 0,
    chain: (places, guest) => [
      indirect(guest, places, [{ address: places.table, length: 16, flags: DESC_F_INDIRECT }]),
    ],
  },
  {
    what: 'an indirect table with a next descriptor',
    reason: 'bad-indirect',
    used: 0,
    chain: (places, guest) => [
      {
        ...indirect(guest, places, [readable(places.request), writable(places.response)]),
        flags: DESC_F_INDIRECT | DESC_F_NEXT,
      },
      writable(places.response),
    ],
  },
  {
    what: 'next out of range in an indirect table',
    reason: 'next-out-of-range',
    used: 0,
    chain: (places, guest) => [
      indirect(guest, places, [readable(places.request), { ...readable(places.request), next: 2 }]),
    ],
  },
  {
    what: 'a loop in an indirect table',
    reason: 'loop',
    used: 0,
    chain: (places, guest) => [
      indirect(guest, places, [readable(places.request), { ...readable(places.request), next: 0 }]),
    ],
  },
];

async function connected(features = KNOWN_FEATURES) {
  const { chip, served } = serveSimulatedChip();
  chip.drive(1, 1);
  const guest = await served.connect({ features, regions: [REGION] });
  return { chip, served, guest, places: placesIn(guest) };
}

describe('a bad chain', () => {
  it.each(BAD_CHAINS)('$what: is completed and counted, and the next request is served', async (bad) => {
    const { served, guest, places } = await connected();
    expect(await guest.rawChain(bad.chain(places, guest))).toBe(bad.used);
    expect(served.device.counters.badChains).toEqual({ [bad.reason]: 1 });
    const expected = [1, 0].map((byte, at) => (at < bad.used ? byte : UNTOUCHED));
    expect([...guest.memory.read(places.response, 2)]).toEqual(expected);
    expect(await guest.request(MSG_GET_VALUE, 1)).toEqual(OK);
  });

  it('of each kind, all at once between good requests: each is completed once, logged once', async () => {
    const { served, guest, places } = await connected();
    const counts: Record<string, number> = {};
    for (let round = 0; round < 50; round++) {
      for (const bad of BAD_CHAINS) {
        // One table of descriptors: chains of several descriptors come one at a time.
        const good = guest.request(MSG_GET_VALUE, 1);
        expect(await guest.rawChain(bad.chain(places, guest))).toBe(bad.used);
        expect(await good).toEqual(OK);
        counts[bad.reason] = (counts[bad.reason] ?? 0) + 1;
      }
    }
    expect(served.device.counters.badChains).toEqual(counts);
    expect(served.logged('warn')).toHaveLength(Object.keys(counts).length);
    expect(guest.vring(REQUEST_QUEUE).queue.badUsed).toBe(0);
    expect(guest.vring(REQUEST_QUEUE).queue.free).toBe(64);
  });

  it('with INDIRECT_DESC not negotiated: is an indirect one', async () => {
    const { served, guest, places } = await connected(
      KNOWN_FEATURES & ~(1n << BigInt(FEATURE_INDIRECT_DESC)),
    );
    const chain = [indirect(guest, places, [readable(places.request), writable(places.response)])];
    expect(await guest.rawChain(chain)).toBe(0);
    expect(served.device.counters.badChains).toEqual({ 'bad-indirect': 1 });
    expect(await guest.request(MSG_GET_VALUE, 1)).toEqual(OK);
  });

  it('line and type out of range are counted too', async () => {
    const { served, guest } = await connected();
    await guest.request(MSG_GET_VALUE, 8);
    await guest.request(MSG_GET_VALUE, 0xffff);
    await guest.request(0x1234, 0);
    expect(served.device.counters.badChains).toEqual({ 'line-out-of-range': 2, 'unknown-type': 1 });
    expect(await guest.request(MSG_GET_VALUE, 1)).toEqual(OK);
  });
});

describe('an entry of the available ring that cannot be completed', () => {
  it.each([64, 200, 0xffff])('naming descriptor %i of 64: is skipped and counted', async (head) => {
    const { served, guest } = await connected();
    const vring = guest.vring(REQUEST_QUEUE);
    const lost = guest.request(MSG_GET_VALUE, 1);
    lost.catch(() => {});
    vring.writeAvailableHead(vring.availableIndex - 1, head);
    await until(() => served.device.counters.badChains['bad-head'] === 1);
    expect(await guest.request(MSG_GET_VALUE, 1)).toEqual(OK);
    expect(served.logged('warn')).toHaveLength(1);
  });

  it('naming a chain that the device still holds: is skipped and counted, the chain completed once', async () => {
    const { chip, served, guest } = await connected();
    const vring = guest.vring(EVENT_QUEUE);
    await guest.request(MSG_SET_IRQ_TYPE, 0, 3);
    guest.queueEvent(0);
    await guest.request(MSG_GET_VALUE, 1);
    guest.queueEvent(0);
    // The first buffer lay in descriptor 0.
    vring.writeAvailableHead(vring.availableIndex - 1, 0);
    await until(() => served.device.counters.badChains['bad-head'] === 1);
    chip.drive(0, 1);
    expect(await guest.nextEvent()).toEqual({ gpio: 0, status: 1, usedLength: 1 });
    expect(vring.queue.badUsed).toBe(0);
  });
});

describe('an odd chain that is legal', () => {
  const bytes = (places: Places, from: number, count: number): RawDescriptor[] =>
    Array.from({ length: count }, (_, i) => readable(places.request + from + i, 1));
  const response = ({ response: at }: Places): RawDescriptor[] => [
    { address: at, length: 1, flags: DESC_F_WRITE | DESC_F_NEXT },
    writable(at + 1, 1),
  ];

  const LEGAL: readonly {
    readonly what: string;
    chain(places: Places, guest: VhostUserFrontEnd): RawDescriptor[];
  }[] = [
    {
      what: 'a byte a descriptor',
      chain: (places) => [...bytes(places, 0, 8), ...response(places)],
    },
    {
      what: 'a request cut at an odd place',
      chain: (places) => [
        readable(places.request, 3),
        readable(places.request + 3, 5),
        writable(places.response),
      ],
    },
    {
      what: 'empty descriptors between',
      chain: (places) => [
        readable(places.request, 0),
        readable(places.request, 4),
        readable(places.request, 0),
        readable(places.request + 4, 4),
        { address: places.response, length: 0, flags: DESC_F_WRITE | DESC_F_NEXT },
        writable(places.response),
      ],
    },
    {
      what: 'a request with bytes behind it, and more room than needed',
      chain: (places) => [readable(places.request, 16), writable(places.response, 16)],
    },
    {
      what: 'an indirect table',
      chain: (places, guest) => [
        indirect(guest, places, [readable(places.request), writable(places.response)]),
      ],
    },
    {
      what: 'an indirect table of a byte a descriptor',
      chain: (places, guest) => [indirect(guest, places, [...bytes(places, 0, 8), ...response(places)])],
    },
    {
      what: 'an indirect table after an ordinary descriptor',
      chain: (places, guest) => [
        readable(places.request, 4),
        indirect(guest, places, [readable(places.request + 4, 4), writable(places.response)]),
      ],
    },
    {
      what: 'as many descriptors as the queue has',
      chain: (places) => [
        ...Array.from({ length: 55 }, () => readable(places.request, 0)),
        ...bytes(places, 0, 8),
        writable(places.response),
      ],
    },
  ];

  it.each(LEGAL)('$what: is served', async ({ chain }) => {
    const { served, guest, places } = await connected();
    expect(await guest.rawChain(chain(places, guest))).toBe(2);
    expect([...guest.memory.read(places.response, 3)]).toEqual([0, 1, UNTOUCHED]);
    expect(served.device.counters.badChains).toEqual({});
    expect(await guest.request(MSG_GET_VALUE, 1)).toEqual(OK);
  });
});
