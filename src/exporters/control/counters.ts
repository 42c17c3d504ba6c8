import type { ControlStatus } from '../../wire/control.ts';

/** What happened on the control socket. */
export class ControlCounters implements Readonly<ControlStatus['counters']> {
  requests = 0;
  errors = 0;
  badRequests = 0;
  refusedConnections = 0;
  edges = 0;
  droppedEdges = 0;
}
