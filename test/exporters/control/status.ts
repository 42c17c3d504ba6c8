import type { ServiceStatus } from '../../../src/wire/control.ts';

/** What a service may tell of itself. */
export const STATUS: ServiceStatus = {
  version: '1.2.3',
  pid: 7,
  startedAtMs: 1000,
  configFile: '/etc/rproc-gpio.yaml',
  coprocessors: [{ name: 'hub', state: 'running', restarts: 0 }],
  chips: [
    {
      name: 'hub',
      label: 'simulated',
      lineCount: 8,
      available: true,
      coprocessor: 'hub',
      edges: 3,
      ambiguousEvents: 0,
    },
  ],
  exports: [
    {
      name: 'vm1',
      socket: '/run/vm1.sock',
      lines: 8,
      connected: true,
      features: ['F_IRQ'],
      counters: { requests: 1, errors: 0, interrupts: 0, invalidEvents: 0, badChains: { 'bad-head': 2 } },
    },
  ],
  mqtt: null,
  owners: [],
};
