import { parseArgs } from 'node:util';
import { defaultDemoFolder, demoConfig } from '../daemon/demo-config.ts';
import type { Command } from './command.ts';
import { TUNING_OPTIONS, TUNING_USAGE, tuneProcess } from './process-tuning.ts';
import { runService } from './run-service.ts';

export const command: Command = {
  name: 'demo',
  summary: 'run the service with a simulated sensor hub; needs no file',
  usage: `usage: rproc-gpio demo [options]

Starts the example firmware (examples/sensor-hub) as a process of this machine,
binds the vrings that it shares, and offers its 16 lines to one guest.

  --dir=PATH             folder for the sockets vm1.sock (guests) and pins.sock
                         (the hub's outside world); default: one of this user's
                         in $XDG_RUNTIME_DIR or /tmp
${TUNING_USAGE}  -h, --help             this text
`,
  async run(args, io) {
    const { values } = parseArgs({
      args: [...args],
      options: { dir: { type: 'string' }, ...TUNING_OPTIONS },
    });
    const { config, pinsSocket, guestSocket } = demoConfig(values.dir ?? defaultDemoFolder());
    await tuneProcess(values);
    const hint = `guest:   connect a vhost-user front-end of device type GPIO to ${guestSocket}
outside: node examples/sensor-hub/pins.mjs ${pinsSocket} set IMU_INT 1
`;
    return runService({ config, configFile: null, io, hint });
  },
};
