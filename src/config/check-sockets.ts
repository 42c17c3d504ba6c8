import type { ConfigPath } from './config-error.ts';
import type { Report } from './report.ts';
import type { Config } from './schema.ts';

/** `sun_path` of unix(7), less the NUL at its end. */
const MAX_SOCKET_PATH_BYTES = 107;

/** A Unix socket's path has a limit far below that of a file. */
export function checkSocketPath(path: ConfigPath, socket: string, report: Report): void {
  const sizeBytes = Buffer.byteLength(socket);
  if (sizeBytes <= MAX_SOCKET_PATH_BYTES) return;
  report(
    path,
    `${socket} has ${sizeBytes} bytes`,
    `expected at most ${MAX_SOCKET_PATH_BYTES} bytes, the limit for Unix sockets`,
  );
}

/** Every socket on which the service listens has a path of its own. */
export function checkSockets({ exports, control }: Config, report: Report): void {
  const ownerOfSocket = new Map<string, string>();
  const check = (path: ConfigPath, owner: string, socket: string): void => {
    checkSocketPath(path, socket, report);
    const other = ownerOfSocket.get(socket);
    if (other === undefined) ownerOfSocket.set(socket, owner);
    else report(path, `${socket} is the socket of ${other} already`, 'give every export a socket of its own');
  };
  for (const [name, { socket }] of Object.entries(exports)) {
    check(['exports', name, 'socket'], `"${name}"`, socket);
  }
  if (control.socket !== undefined) check(['control', 'socket'], 'control', control.socket);
}
