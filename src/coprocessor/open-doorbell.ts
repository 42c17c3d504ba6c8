import type { Doorbell, DoorbellOptions } from './doorbell.ts';
import { EventfdDoorbell } from './eventfd-doorbell.ts';
import { PollDoorbell } from './poll-doorbell.ts';
import { SocketDoorbell } from './socket-doorbell.ts';
import { UioDoorbell } from './uio-doorbell.ts';

/**
 * Makes a doorbell; it is silent until its `open`.
 * @param connectTimeoutMs how long the other end of a socket may take to listen
 * @param sysfsRoot where sysfs is mounted
 * @throws CoprocessorError ERR_DOORBELL
 */
export function createDoorbell(
  options: DoorbellOptions,
  connectTimeoutMs: number,
  sysfsRoot = '/sys',
): Doorbell {
  switch (options.type) {
    case 'eventfd':
      return new EventfdDoorbell();
    case 'socket':
      return new SocketDoorbell(options, connectTimeoutMs);
    case 'uio':
      return new UioDoorbell(options, sysfsRoot);
    case 'poll':
      return new PollDoorbell(options);
  }
}
