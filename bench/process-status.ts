/** What Linux says about a process: proc(5). */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';

/** USER_HZ, the unit of utime and stime; 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/**
 * User plus system time of all threads, in seconds, from the text of `/proc/PID/stat`.
 * @throws SyntaxError when the text is not such a line.
 */
export function parseCpuSeconds(stat: string): number {
  // The command name stands in parentheses and may hold spaces and parentheses itself: fields count from the last one.
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .trim()
    .split(/\s+/);
  const ticks = Number(fields[11]) + Number(fields[12]); // fields 14 and 15 of proc(5)
  if (!Number.isFinite(ticks)) throw new SyntaxError(`no utime and stime in '${stat.trim()}'`);
  return ticks / TICKS_PER_SECOND;
}

/**
 * A number of `/proc/PID/status` by its name, such as `VmRSS` (in kB) or `voluntary_ctxt_switches`.
 * @throws SyntaxError when there is no such line.
 */
export function parseStatusNumber(status: string, name: string): number {
  const match = new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status);
  if (match === null) throw new SyntaxError(`no ${name} in the status`);
  return Number(match[1]);
}

/** User plus system time of a process, all threads, in seconds. */
export function cpuSeconds(pid: number): number {
  return parseCpuSeconds(readFileSync(`/proc/${pid}/stat`, 'utf8'));
}

/**
 * How long the main thread was ready to run and waited for a processor so far, in milliseconds: second number of
 * `/proc/PID/task/TID/schedstat`. A wait is added when it ends. 0 where the kernel does not count.
 */
export function processorWaitMs(pid: number): number {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6;
  } catch (error) {
    if (!isGone(error)) throw error;
    return 0;
  }
}

/** Resident memory of a process in bytes. */
export function residentBytes(pid: number): number {
  return parseStatusNumber(readFileSync(`/proc/${pid}/status`, 'utf8'), 'VmRSS') * 1024;
}

/** Voluntary context switches so far, by thread id; a thread is named by its comm. */
export function voluntarySwitches(pid: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (const tid of readdirSync(`/proc/${pid}/task`)) {
    try {
      const status = readFileSync(`/proc/${pid}/task/${tid}/status`, 'utf8');
      const name = readFileSync(`/proc/${pid}/task/${tid}/comm`, 'utf8').trim();
      counts.set(`${name}/${tid}`, parseStatusNumber(status, 'voluntary_ctxt_switches'));
    } catch (error) {
      // A thread that ended between the listing and the reading has nothing to add.
      if (!isGone(error)) throw error;
    }
  }
  return counts;
}

/** Sum of what was added from one count to a later one; a thread that was not there before counts from zero. */
export function switchesBetween(
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
): number {
  let sum = 0;
  for (const [thread, count] of after) sum += count - (before.get(thread) ?? 0);
  return sum;
}

/** The process itself, then its descendants. */
export function processTree(pid: number): number[] {
  const children: number[] = [];
  try {
    for (const tid of readdirSync(`/proc/${pid}/task`)) {
      const list = readFileSync(`/proc/${pid}/task/${tid}/children`, 'utf8').trim();
      if (list !== '') children.push(...list.split(' ').map(Number));
    }
  } catch (error) {
    if (!isGone(error)) throw error;
  }
  return [pid, ...children.flatMap(processTree)];
}

/**
 * The process that runs node in the tree of a started command, which may have a shell in front of it.
 * @throws Error when there is none.
 */
export function nodeProcess(pid: number): number {
  for (const candidate of processTree(pid)) {
    if (basename(readlinkSync(`/proc/${candidate}/exe`)).startsWith('node')) return candidate;
  }
  throw new Error(`process ${pid} runs no node`);
}

function isGone(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOENT' || code === 'ESRCH';
}
