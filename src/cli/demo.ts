import { createServer } from 'node:net';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { DEMO_DIALECTS, defaultDemoFolder, demoConfig } from '../daemon/demo-config.ts';
import type { Service } from '../daemon/service.ts';
import { type Command, UsageError } from './command.ts';
import { TUNING_OPTIONS, TUNING_USAGE, tuneProcess } from './process-tuning.ts';
import { runService } from './run-service.ts';
import { wholeNumber } from './whole-number.ts';

const MQTT_PORT = 1883;

/** Whether nobody listens on a port of the loopback interface. */
function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

export const command: Command = {
  name: 'demo',
  summary: 'run the service with a simulated sensor hub; needs no file',
  usage: `usage: rproc-gpio demo [options]

Starts the example firmware (examples/sensor-hub) as a process of this machine,
binds the vrings that it shares, and offers its 16 lines to one guest, to MQTT
(an embedded broker) and to the commands get, set, mon, status, ...

  --dir=PATH             folder for the sockets vm1.sock (guests), pins.sock
                         (the hub's outside world) and control.sock (commands);
                         default: one of this user's in $XDG_RUNTIME_DIR or
                         /tmp; the control socket where commands look for it
  --dialect=NAME         what firmware and service speak: virtio-gpio, srtm,
                         rpmsg-io, rpmsg-gpio, rpmsg-gpio-kind0 or metux
  --mqtt-port=N          port of the embedded broker (default: 1883, or a free
                         one when that is taken)
${TUNING_USAGE}  -h, --help             this text
`,
  async run(args, io) {
    const { values } = parseArgs({
      args: [...args],
      options: {
        dir: { type: 'string' },
        dialect: { type: 'string' },
        'mqtt-port': { type: 'string' },
        ...TUNING_OPTIONS,
      },
    });
    const { dir, 'mqtt-port': wantedPort } = values;
    const mqttPort =
      wantedPort === undefined
        ? (await isFree(MQTT_PORT))
          ? MQTT_PORT
          : 0
        : wholeNumber('--mqtt-port', wantedPort, 0, 65535);
    const dialect = DEMO_DIALECTS.find((each) => each === (values.dialect ?? 'virtio-gpio'));
    if (dialect === undefined) {
      throw new UsageError(`--dialect=${values.dialect}: one of ${DEMO_DIALECTS.join(', ')} is needed`);
    }
    const folder = dir ?? defaultDemoFolder();
    const controlSocket = dir === undefined ? undefined : join(folder, 'control.sock');
    const { config, pinsSocket, guestSocket } = demoConfig(folder, { mqttPort, controlSocket, dialect });
    await tuneProcess(values);
    const say = ({
      mqttPort: port,
    }: Service): string => `guest:    connect a vhost-user front-end of device type GPIO to ${guestSocket}
mqtt:     mosquitto_sub -p ${port} -v -t 'rproc-gpio/#'
commands: npx rproc-gpio mon${controlSocket === undefined ? '' : ` --socket=${controlSocket}`}    (and info, get, set, pulse, status, ...)
outside:  node examples/sensor-hub/pins.mjs ${pinsSocket} set IMU_INT 1
`;
    return runService({ config, configFile: null, io, hint: say });
  },
};
