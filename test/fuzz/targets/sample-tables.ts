import { encodeResourceTable, type ResourceEntry } from '../../../src/wire/resource-table.ts';

/** What a sensor-hub's firmware has: memory, a log, a virtio-gpio device with two vrings. */
export const SAMPLE_ENTRIES: readonly ResourceEntry[] = [
  { kind: 'carveout', da: 0x1000, pa: 0xffff_ffff, len: 0x8000, flags: 0, name: 'vdev0buffer' },
  { kind: 'trace', da: 0x9000, len: 0x400, name: 'log' },
  {
    kind: 'vdev',
    id: 41,
    notifyid: 0,
    dfeatures: 1,
    gfeatures: 0,
    status: 0,
    vrings: [
      { da: 0xffff_ffff, align: 16, num: 16, notifyid: 0, pa: 0 },
      { da: 0x4000, align: 16, num: 8, notifyid: 1, pa: 0 },
    ],
    config: Uint8Array.from([8, 0, 0, 0, 0, 0, 0, 0]),
  },
];

/** Encoded tables, of one entry each and of all. */
export function sampleTables(): Uint8Array[] {
  const lists: (readonly ResourceEntry[])[] = [
    SAMPLE_ENTRIES,
    [],
    [{ kind: 'devmem', da: 0x2000_0000, pa: 0x2000_0000, len: 0x1000, flags: 3, name: 'regs' }],
    [{ kind: 'unknown', type: 200 }],
  ];
  return lists.map((entries) => {
    const into = new Uint8Array(0x400);
    return into.slice(0, encodeResourceTable(entries, into));
  });
}
