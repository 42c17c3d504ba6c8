import { constants, existsSync, readdirSync, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import { CoprocessorError } from './coprocessor-error.ts';

/** The kernel's names (drivers/remoteproc/remoteproc_sysfs.c); `deleted` is said here of one that is gone, too. */
export const REMOTEPROC_STATES = [
  'offline',
  'suspended',
  'running',
  'crashed',
  'deleted',
  'attached',
  'detached',
  'invalid',
] as const;
export type RemoteprocState = (typeof REMOTEPROC_STATES)[number];

export type RemoteprocAttribute = 'state' | 'firmware' | 'recovery' | 'name';

/** What a remote processor is reached by, so that tests can be the kernel. */
export interface RemoteprocSystem {
  /** Where sysfs is mounted. */
  readonly sysfsRoot: string;
  /** Where the kernel's log can be followed. */
  readonly kernelLog: string;
  /** Whether to listen for uevents. */
  readonly uevents: boolean;
  /** Writes an attribute; resolves when the kernel has done what it says. @throws Error with the errno's name as `code` */
  write(path: string, value: string): Promise<void>;
}

/** The kernel that this process runs on. */
export const RUNNING_SYSTEM: RemoteprocSystem = {
  sysfsRoot: '/sys',
  kernelLog: '/dev/kmsg',
  uevents: true,
  // On another thread: the kernel answers when the co-processor is up, or down, and that may take seconds.
  async write(path, value) {
    const file = await open(path, constants.O_WRONLY);
    try {
      await file.write(value);
    } finally {
      await file.close();
    }
  },
};

/** A remote processor's folder in sysfs. */
export interface RemoteprocEntry {
  /** `remoteproc0`; may be another one after a restart of the machine. */
  readonly entry: string;
  /** Its `name` attribute, from the device tree or the driver; empty where it cannot be read. */
  readonly name: string;
  readonly folder: string;
}

function read(folder: string, attribute: string): string | null {
  try {
    return readFileSync(join(folder, attribute), 'utf8').trim();
  } catch {
    return null;
  }
}

/** All remote processors that the kernel has. */
export function listRemoteprocs(sysfsRoot: string): RemoteprocEntry[] {
  const parent = join(sysfsRoot, 'class/remoteproc');
  let entries: string[];
  try {
    entries = readdirSync(parent).sort();
  } catch {
    return [];
  }
  return entries.map((entry) => {
    const folder = join(parent, entry);
    return { entry, folder, name: read(folder, 'name') ?? '' };
  });
}

/**
 * Finds one by its entry (`remoteproc0`) or its `name` attribute (`imx-rproc`, stable across restarts).
 * @throws CoprocessorError ERR_REMOTEPROC: which ones there are
 */
export function findRemoteproc(nameOrAttribute: string, sysfsRoot: string): RemoteprocEntry {
  const all = listRemoteprocs(sysfsRoot);
  const byEntry = all.find(({ entry }) => entry === nameOrAttribute);
  if (byEntry !== undefined) return byEntry;
  const byName = all.filter(({ name }) => name === nameOrAttribute);
  const [found] = byName;
  const quoted = JSON.stringify(nameOrAttribute);
  if (byName.length > 1) {
    const entries = byName.map(({ entry }) => entry).join(', ');
    throw new CoprocessorError(
      'ERR_REMOTEPROC',
      `remoteproc ${quoted} is ambiguous: ${entries} have that name; say which one`,
    );
  }
  if (found !== undefined) return found;
  const folder = join(sysfsRoot, 'class/remoteproc');
  const there =
    all.length === 0
      ? `there is none in ${folder}: is the driver of this board's co-processor in the kernel, enabled in the device tree, and loaded?`
      : `${folder} has ${all.map(({ entry, name }) => `${entry} (${name === '' ? 'no name' : name})`).join(', ')}`;
  throw new CoprocessorError('ERR_REMOTEPROC', `no remoteproc ${quoted}: ${there}`);
}

/** Null when the remote processor is gone. */
export function readAttribute({ folder }: RemoteprocEntry, attribute: RemoteprocAttribute): string | null {
  return read(folder, attribute);
}

export function readState(entry: RemoteprocEntry): RemoteprocState {
  const text = readAttribute(entry, 'state');
  if (text === null) return 'deleted';
  return REMOTEPROC_STATES.find((state) => state === text) ?? 'invalid';
}

/** Where the kernel looks for firmware, in its order (drivers/base/firmware_loader/main.c). */
export function firmwareFolders(sysfsRoot: string): string[] {
  const custom = read(sysfsRoot, 'module/firmware_class/parameters/path') ?? '';
  const usual = [`updates/${release()}`, 'updates', release(), ''];
  return [
    ...(custom === '' ? [] : [custom]),
    ...usual.map((folder) => join('/lib/firmware', folder).replace(/\/$/, '')),
  ];
}

/** What a refused write to an attribute means, and what to do about it. */
function describe(
  { entry, folder }: RemoteprocEntry,
  attribute: RemoteprocAttribute,
  value: string,
  error: unknown,
): string {
  const { code = '', message } = error as NodeJS.ErrnoException;
  const path = join(folder, attribute);
  const log = `the kernel's log says why: dmesg | grep ${entry}`;
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return `${path}: permission denied (${code}): only root may write it, unless a udev rule gives it to this user's group (SUBSYSTEM=="remoteproc", RUN+="/bin/chgrp ... /bin/chmod g+w ..."); or let somebody else start the co-processor`;
    case 'EROFS':
      return `${path}: sysfs is mounted read-only here (${code}), as in a container or with systemd's ProtectKernelTunables=`;
    case 'EBUSY':
      return attribute === 'firmware'
        ? `${path}: the firmware can be chosen only while the co-processor is offline (${code}); stop it first`
        : `${path}: busy (${code}); ${log}`;
    case 'EINVAL':
      return `${path}: the kernel does not take ${JSON.stringify(value)} in this state, or not this firmware (${code}); ${log}`;
    default:
      return `${path}: writing ${JSON.stringify(value)} failed: ${message}; ${log}`;
  }
}

/** A write to `state` that ends with ENOENT: the kernel did not find the firmware. */
function describeMissingFirmware(entry: RemoteprocEntry, sysfsRoot: string): string {
  const firmware = readAttribute(entry, 'firmware') ?? '';
  const folders = firmwareFolders(sysfsRoot);
  const elsewhere = folders.find((folder) => existsSync(join(folder, firmware)));
  const seen =
    elsewhere === undefined
      ? `looked in ${folders.join(', ')} (also for ${firmware}.zst and .xz where the kernel can unpack them)`
      : `it is in ${elsewhere} as this process sees it: the kernel may see another root`;
  return `${entry.entry}: the kernel did not find the firmware ${JSON.stringify(firmware)}: ${seen}; put it there, choose another one (firmware:), or name another folder (firmware_class.path= on the kernel's command line, or ${join(sysfsRoot, 'module/firmware_class/parameters/path')})`;
}

/**
 * Writes an attribute.
 * @throws CoprocessorError ERR_REMOTEPROC: what to do about it
 */
export async function writeAttribute(
  entry: RemoteprocEntry,
  attribute: RemoteprocAttribute,
  value: string,
  system: RemoteprocSystem,
): Promise<void> {
  try {
    await system.write(join(entry.folder, attribute), value);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const isGone = code === 'ENODEV' || (code === 'ENOENT' && readAttribute(entry, 'state') === null);
    let what = describe(entry, attribute, value, error);
    if (isGone) what = `${entry.entry}: the kernel has removed it (its driver was unbound or unloaded)`;
    else if (code === 'ENOENT') what = describeMissingFirmware(entry, system.sysfsRoot);
    throw new CoprocessorError('ERR_REMOTEPROC', what, error);
  }
}
