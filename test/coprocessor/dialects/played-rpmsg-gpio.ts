import type { RpmsgPeer } from '../../../src/testing/rpmsg-peer.ts';
import * as srtm from '../../../src/wire/srtm-gpio.ts';

/** The address of the firmware's endpoint. */
const ADDRESS = 30;

/**
 * SRTM firmware over the co-processor's side of a bus, with lines 0 to 31 of port 0. An edge of a masked line is remembered or lost.
 */
export class PlayedSrtm {
  readonly levels = new Uint8Array(srtm.MAX_PINS);
  /** Requests are dropped, as by firmware that is stuck; counted here. */
  isDeaf = false;
  unheard = 0;
  readonly #peer: RpmsgPeer;
  readonly #losesMasked: boolean;
  readonly #events = new Uint8Array(srtm.MAX_PINS);
  readonly #masked = new Uint8Array(srtm.MAX_PINS);
  readonly #latched = new Uint8Array(srtm.MAX_PINS);
  readonly #outputs = new Uint8Array(srtm.MAX_PINS);
  /** Where to send notifications: who asked last. */
  #linux = -1;

  constructor(peer: RpmsgPeer, losesMasked: boolean) {
    this.#peer = peer;
    this.#losesMasked = losesMasked;
  }

  announce(): void {
    this.#peer.listen(ADDRESS, (payload, source) => {
      this.#linux = source;
      if (this.isDeaf) this.unheard++;
      else this.#serve(payload);
    });
    this.#peer.create(srtm.SRTM_CHANNEL, ADDRESS);
  }

  destroy(): void {
    this.#peer.destroy(srtm.SRTM_CHANNEL, ADDRESS);
  }

  send(...bytes: readonly number[]): void {
    this.#peer.send(ADDRESS, this.#linux, Uint8Array.from(bytes));
  }

  isOutput(pin: number): boolean {
    return this.#outputs[pin] === 1;
  }

  drive(pin: number, level: number): void {
    if (this.levels[pin] === level) return;
    this.levels[pin] = level;
    const event = this.#events[pin] as number;
    if ((event & (level === 1 ? srtm.EVENT_RISING : srtm.EVENT_FALLING)) === 0) return;
    if (this.#masked[pin] === 0) this.#notify(pin);
    else if (!this.#losesMasked) this.#latched[pin] = 1;
  }

  #notify(pin: number): void {
    this.#masked[pin] = 1;
    this.#latched[pin] = 0;
    const type = srtm.TYPE_NOTIFICATION;
    this.send(...srtm.encodeSrtmMessage({ type, command: srtm.COMMAND_INPUT_INIT, port: 0, pin }));
  }

  #serve(payload: Uint8Array): void {
    const message = srtm.decodeSrtmMessage(payload);
    if (message.type !== srtm.TYPE_REQUEST) throw new Error(`a message of type ${message.type} from Linux`);
    const { command, port, pin, argument } = message;
    let value = 0;
    if (command === srtm.COMMAND_INPUT_INIT) {
      this.#outputs[pin] = 0;
      this.#events[pin] = argument;
      this.#masked[pin] = 0;
    } else if (command === srtm.COMMAND_OUTPUT_INIT) {
      this.#outputs[pin] = 1;
      this.#events[pin] = srtm.EVENT_NONE;
      this.levels[pin] = argument;
    } else {
      value =
        command === srtm.COMMAND_INPUT_GET
          ? (this.levels[pin] as number)
          : 1 - (this.#outputs[pin] as number);
    }
    const type = srtm.TYPE_RESPONSE;
    this.send(...srtm.encodeSrtmMessage({ type, command, port, pin, returnCode: srtm.RETURN_OK, value }));
    if (this.#latched[pin] === 1 && this.#masked[pin] === 0) this.#notify(pin);
  }
}
