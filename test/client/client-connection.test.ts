import { expect, it } from 'vitest';
import { ClientConnection } from '../../src/client/client-connection.ts';
import type { ControlError } from '../../src/client/control-error.ts';
import { serve } from '../exporters/control/served-control.ts';

it('tells who subscribes on a connection that has ended of that at once', async () => {
  const { path, server } = await serve();
  const ends: (ControlError | null)[] = [];
  const listener = {
    edges: () => {},
    lost: () => {},
    ended: (error: ControlError | null) => ends.push(error),
  };
  const closed = await ClientConnection.open(path, 10_000);
  closed.close();
  closed.subscribe(1, listener);
  const lost = await ClientConnection.open(path, 10_000);
  const left = new Promise<void>((resolve) => lost.subscribe(1, { ...listener, ended: () => resolve() }));
  await server.close();
  await left;
  lost.subscribe(2, listener);
  expect(ends).toEqual([null, expect.objectContaining({ code: 'ERR_CLOSED' })]);
});
