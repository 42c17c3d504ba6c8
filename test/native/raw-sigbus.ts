/** Runs as a process: a SIGBUS that no mapping is to blame for, after one that a mapping was. Prints, and dies of it. */
import { ftruncateSync } from 'node:fs';
import * as native from '../../src/native.ts';

const memfd = native.createMemfd('raw-sigbus', 4096);
const buffer = native.mapDescriptor(memfd, 0, 4096);
ftruncateSync(memfd, 0);
console.log(new Uint8Array(buffer)[7], native.isDead(buffer));
process.kill(process.pid, 'SIGBUS');
