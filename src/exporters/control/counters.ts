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

/** What clients had too much of. */
export class ControlLimits {
  /** Connections closed in favour of newer ones: they had never asked anything, or did not read. */
  displacedConnections = 0;
  /** Connections closed with a part of a request that did not go on. */
  stalledConnections = 0;
  /** How often a client was not read from, as it did not take its answers. */
  unreadPauses = 0;
}
