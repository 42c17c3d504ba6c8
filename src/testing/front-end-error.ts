/** Why a front-end's operation did not come to its end. */
export type FrontEndErrorCode =
  /** Nothing came within the time allowed. */
  | 'ERR_FRONT_END_TIMEOUT'
  /** The back-end closed the connection, or it was closed here. */
  | 'ERR_FRONT_END_CLOSED'
  /** The back-end refused a request (REPLY_ACK with a value other than 0), or lacks what was asked of it. */
  | 'ERR_FRONT_END_REFUSED'
  /** The back-end broke the protocol. */
  | 'ERR_FRONT_END_PROTOCOL'
  /** The device was reset before it answered. */
  | 'ERR_FRONT_END_RESET'
  /** No room: guest memory, descriptors. */
  | 'ERR_FRONT_END_FULL';

/** Error of the vhost-user front-end for tests. */
export class FrontEndError extends Error {
  readonly code: FrontEndErrorCode;

  constructor(code: FrontEndErrorCode, message: string) {
    super(message);
    this.name = 'FrontEndError';
    this.code = code;
  }
}

/**
 * Waits for `settle` to be called, for `timeoutMs` at most.
 *
 * @param what for the error's message: `the answer to GET_FEATURES`
 * @param start gets the two functions that end the wait
 * @param abandoned called when the time is over
 * @throws FrontEndError `ERR_FRONT_END_TIMEOUT`
 */
export function withDeadline<T>(
  what: string,
  timeoutMs: number,
  start: (resolve: (value: T) => void, reject: (error: Error) => void) => void,
  abandoned: () => void = () => {},
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = setTimeout(() => {
      abandoned();
      reject(new FrontEndError('ERR_FRONT_END_TIMEOUT', `waited ${timeoutMs} ms for ${what}`));
    }, timeoutMs);
    start(
      (value) => {
        clearTimeout(timer);
        resolve(value);
      },
      (error) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}
