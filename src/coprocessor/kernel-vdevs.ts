import { readdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';

/** A virtio device that the kernel's remoteproc took from a resource table. */
export interface KernelVdev {
  /** As in `/sys/bus/virtio/devices`, e.g. `virtio0`. */
  readonly name: string;
  /** Virtio device ID. */
  readonly id: number;
  /** Where it hangs in sysfs; below `/remoteprocN/`. */
  readonly path: string;
}

/** The device's place below a remoteproc, in kernels up to now: `.../remoteproc0/remoteproc0#vdev0buffer/virtio0`, `.../remoteproc0/rproc-virtio.1.auto/virtio0`. */
const BELOW_REMOTEPROC = /\/remoteproc\d+(?:[/#])/;

/**
 * The virtio devices whose parent is a remoteproc: the kernel drives their vrings, or will. None where there is no such bus.
 * @param sysfsRoot where sysfs is mounted
 */
export function kernelVdevs(sysfsRoot: string): KernelVdev[] {
  const folder = join(sysfsRoot, 'bus/virtio/devices');
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return [];
  }
  const found: KernelVdev[] = [];
  for (const name of names) {
    try {
      const path = realpathSync(join(folder, name));
      if (!BELOW_REMOTEPROC.test(path)) continue;
      const id = Number(readFileSync(join(path, 'device'), 'utf8').trim());
      found.push({ name, id, path });
    } catch {
      // It went away between the two looks.
    }
  }
  return found;
}
