import type { FuzzTarget } from '../target.ts';
import { config } from './config.ts';
import { control } from './control.ts';
import { controlClient } from './control-client.ts';
import { embeddedBroker } from './embedded-broker.ts';
import { gpioUapi, inspect, peerTexts } from './files.ts';
import { kernelRpmsg } from './kernel-rpmsg.ts';
import { metuxDialect } from './metux-dialect.ts';
import { mqttPayloads, mqttTopics } from './mqtt-commands.ts';
import { rpmsgBus } from './rpmsg-bus.ts';
import { rpmsgGpioDialect, rpmsgIoDialect, srtmDialect } from './rpmsg-dialects.ts';
import { vdev } from './vdev.ts';
import { virtioGpioDialect } from './virtio-gpio-dialect.ts';

/** What co-processors, brokers, clients and files may say. */
export const PEER_TARGETS: readonly FuzzTarget[] = [
  rpmsgBus,
  srtmDialect,
  rpmsgIoDialect,
  rpmsgGpioDialect,
  virtioGpioDialect,
  metuxDialect,
  vdev,
  kernelRpmsg,
  mqttTopics,
  mqttPayloads,
  embeddedBroker,
  control,
  controlClient,
  config,
  gpioUapi,
  inspect,
  peerTexts,
];
