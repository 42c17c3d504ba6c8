import type { ControlCode } from '../wire/control.ts';

/**
 * The service refused something, or cannot be asked. `code` is stable: `ERR_NOT_RUNNING` nobody listens, `ERR_PERMISSION` not for
 * this user, `ERR_TIMEOUT`, `ERR_PROTOCOL` not a service of this version, `ERR_CLOSED` the connection has ended, and the codes of
 * the protocol (docs/control.md): `ERR_LINE`, `ERR_BUSY`, `ERR_REFUSED`, ...
 */
export class ControlError extends Error {
  readonly code: ControlCode;

  constructor(code: ControlCode, message: string) {
    super(message);
    this.name = 'ControlError';
    this.code = code;
  }
}
