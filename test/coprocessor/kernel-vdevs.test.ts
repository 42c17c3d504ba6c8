import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { kernelVdevs } from '../../src/coprocessor/kernel-vdevs.ts';
import { scratchFolder, textFile } from './scratch-folder.ts';

describe('kernelVdevs', () => {
  it('finds those of a remoteproc and no others', () => {
    const sysfs = scratchFolder();
    const bus = join(sysfs, 'bus/virtio/devices');
    mkdirSync(bus, { recursive: true });
    const add = (name: string, parent: string, id: string): void => {
      const folder = join(sysfs, 'devices', parent, name);
      textFile(join(folder, 'device'), `${id}\n`);
      symlinkSync(folder, join(bus, name));
    };
    add('virtio0', 'pci0000:00/0000:00:04.0', '0x0029');
    add('virtio1', 'platform/imx8mp-cm7/remoteproc/remoteproc0/remoteproc0#vdev0buffer', '0x0007');
    add('virtio2', 'platform/4c000000.m4/remoteproc/remoteproc1/rproc-virtio.1.auto', '0x0029');
    symlinkSync(join(sysfs, 'gone'), join(bus, 'virtio3'));
    const found = kernelVdevs(sysfs);
    expect(found.map(({ name, id }) => [name, id])).toEqual([
      ['virtio1', 7],
      ['virtio2', 41],
    ]);
    expect(found[1]?.path).toContain('remoteproc1/rproc-virtio.1.auto/virtio2');
  });

  it('finds none where there is no virtio', () => {
    expect(kernelVdevs(scratchFolder())).toEqual([]);
  });
});
