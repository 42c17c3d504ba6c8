import { execFileSync } from 'node:child_process';
import { readFileSync, realpathSync } from 'node:fs';
import { basename } from 'node:path';
import { gzipSync } from 'node:zlib';
import { requireFile } from './prerequisites.ts';

/** Debian package gpiod, version 1: what real guests have. */
const GPIO_TOOLS = ['gpiodetect', 'gpioinfo', 'gpioget', 'gpioset', 'gpiomon'] as const;

const SETUP = 'bash test/e2e/setup.sh';

/** File type and permission bits of an archive entry (`st_mode`). */
const DIRECTORY = 0o040755;
const EXECUTABLE = 0o100755;

/** One entry of the "newc" archive that the kernel unpacks (kernel Documentation/driver-api/early-userspace/buffer-format.rst). */
function entry(name: string, mode: number, content: Buffer): Buffer {
  const nameBytes = Buffer.from(`${name}\0`);
  // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check.
  // Different inode numbers are not needed: without hard links (nlink 1) the kernel does not look at them.
  const fields = [0, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, nameBytes.length, 0];
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`);
  const head = Buffer.concat([header, nameBytes]);
  return Buffer.concat([head, padding(head.length), content, padding(content.length)]);
}

function padding(sizeBytes: number): Buffer {
  return Buffer.alloc((4 - (sizeBytes % 4)) % 4);
}

/** The shared libraries and the loader that `program` names, as absolute paths in the guest. */
function librariesOf(program: string): string[] {
  const output = execFileSync('ldd', [program], { encoding: 'utf8' });
  return [...output.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm)].map((match) => match[1] ?? '');
}

/**
 * Builds a gzip-compressed initramfs with a busybox, the gpiod tools and the given init script.
 *
 * @param init text of /init
 * @throws PrerequisiteError when a tool is not installed
 */
export function buildInitramfs(init: string): Buffer {
  const directories = new Set<string>(['bin', 'dev', 'proc', 'sys', 'tmp', 'etc']);
  const files = new Map<string, Buffer>();
  const add = (guestPath: string, content: Buffer) => {
    const parts = guestPath.split('/').slice(1);
    for (let depth = 1; depth < parts.length; depth += 1) directories.add(parts.slice(0, depth).join('/'));
    files.set(parts.join('/'), content);
  };

  // A program found in PATH elsewhere (/usr/bin, /bin: the same place on a merged /usr) lands in the guest's /bin.
  add('/bin/busybox', readFileSync(requireFile('/bin/busybox', SETUP)));
  for (const tool of GPIO_TOOLS) {
    const path = requireFile(`/usr/bin/${tool}`, SETUP);
    add(`/bin/${basename(path)}`, readFileSync(path));
    for (const library of librariesOf(path)) add(library, readFileSync(realpathSync(library)));
  }
  add('/init', Buffer.from(init));

  const archive = [
    ...[...directories].sort().map((directory) => entry(directory, DIRECTORY, Buffer.alloc(0))),
    ...[...files].map(([name, content]) => entry(name, EXECUTABLE, content)),
    entry('TRAILER!!!', 0, Buffer.alloc(0)),
  ];
  // Level 1: the guest unpacks it once, and we wait for the compressor.
  return gzipSync(Buffer.concat(archive), { level: 1 });
}
