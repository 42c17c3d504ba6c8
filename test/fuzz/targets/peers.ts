import type { FuzzTarget } from '../target.ts';
import { metuxDialect } from './metux-dialect.ts';
import { rpmsgBus } from './rpmsg-bus.ts';
import { rpmsgGpioDialect, rpmsgIoDialect, srtmDialect } from './rpmsg-dialects.ts';
import { virtioGpioDialect } from './virtio-gpio-dialect.ts';

/** What co-processors, brokers, clients and files may say. */
export const PEER_TARGETS: readonly FuzzTarget[] = [
  rpmsgBus,
  srtmDialect,
  rpmsgIoDialect,
  rpmsgGpioDialect,
  virtioGpioDialect,
  metuxDialect,
];
