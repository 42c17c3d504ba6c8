import type { MqttOptions } from '../mqtt-options.ts';
import { redact } from '../secrets.ts';

/**
 * Why a broker cannot be used, for people: what happened, and what to look at.
 */

/** CONNACK return codes of MQTT 3.1.1 (section 3.2.2.3) are those of MQTT 5 (section 3.2.2.2) under other numbers. */
const RETURN_CODES: Readonly<Record<number, number>> = { 1: 0x84, 2: 0x85, 3: 0x88, 4: 0x86, 5: 0x87 };

/** Reason codes of MQTT 5 with which a broker refuses or ends a connection. */
const REASONS: Readonly<Record<number, string>> = {
  128: 'the broker gives no reason',
  129: 'the broker takes a packet for malformed',
  130: 'the broker finds a violation of the protocol',
  133: 'the broker does not take the client identifier: set mqtt.clientId to one that it allows',
  134: 'the broker refuses the user name or the password: check mqtt.username and mqtt.password',
  135: 'the broker does not authorize us: check mqtt.username, mqtt.password and its access rules',
  136: 'the broker is unavailable',
  137: 'the broker is busy',
  138: 'the broker has banned us',
  139: 'the broker is shutting down',
  140: 'the broker wants another method of authentication than user name and password',
  141: 'the broker has not heard of us for too long',
  142: 'another client has connected with our client identifier: every gateway needs its own mqtt.clientId',
  144: 'the broker does not take the topic of our status: check mqtt.baseTopic and its access rules',
  147: 'the broker got more messages at a time than it takes',
  149: 'the broker finds a packet too large',
  150: 'the broker finds that we send too much',
  151: 'a quota of the broker is used up',
  152: 'the administrator of the broker has closed the connection',
  154: 'the broker cannot retain messages: set retain: false for mqtt.topics.status',
  155: 'the broker does not take that QoS: set a lower qos for mqtt.topics.status',
  156: 'the broker wants us to use another one',
  157: 'the broker has moved',
  159: 'the broker gets too many connections',
};

/** A refused CONNECT. */
export function connackText(code: number, options: MqttOptions): string {
  const reason = RETURN_CODES[code] ?? code;
  if (reason === 0x84) {
    const other = options.protocolVersion === 5 ? '"3.1.1"' : '5';
    const own = options.protocolVersion === 5 ? 'MQTT 5' : 'MQTT 3.1.1';
    return `the broker does not speak ${own}: set mqtt.protocolVersion to ${other}`;
  }
  return REASONS[reason] ?? `the broker refuses the connection with reason code 0x${code.toString(16)}`;
}

/** A DISCONNECT from the broker (MQTT 5 only). */
export function disconnectText(code: number): string {
  return REASONS[code] ?? `the broker has closed the connection with reason code 0x${code.toString(16)}`;
}

const NETWORK: Readonly<Record<string, string>> = {
  ENOTFOUND: 'the host name is unknown: check mqtt.broker, and whether this machine can look names up',
  EAI_AGAIN: 'the host name cannot be looked up now: no name server answers',
  ECONNREFUSED: 'nothing listens at that address and port',
  ECONNRESET: 'the connection was reset',
  EPIPE: 'the broker has closed the connection',
  ETIMEDOUT: 'nobody answers at that address',
  EHOSTUNREACH: 'the host cannot be reached',
  ENETUNREACH: 'the network cannot be reached',
};

/** OpenSSL's and Node's codes for certificates that are not good enough. */
const CERTIFICATES: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: 'it is signed by itself: set mqtt.tls.ca to it, or to its authority',
  SELF_SIGNED_CERT_IN_CHAIN: 'its authority is not trusted here: set mqtt.tls.ca to the authority',
  UNABLE_TO_GET_ISSUER_CERT: 'its authority is not known here: set mqtt.tls.ca to the authority',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its authority is not known here: set mqtt.tls.ca to the authority',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its authority is not known here: set mqtt.tls.ca to the authority',
  CERT_HAS_EXPIRED: 'it has expired: renew it, or set the clock of this machine',
  CERT_NOT_YET_VALID: 'it is not valid yet: is the clock of this machine right?',
  CERT_REVOKED: 'it was revoked',
  CERT_SIGNATURE_FAILURE: 'its signature is wrong: mqtt.tls.ca is another authority of the same name',
  HOSTNAME_MISMATCH: 'it is for another name: set mqtt.tls.serverName to the name in it',
  ERR_TLS_CERT_ALTNAME_INVALID: 'it is for another name: set mqtt.tls.serverName to the name in it',
};

/** An error of the connection, before or after it was accepted. */
export function failureText(error: Error & { code?: unknown }, options: MqttOptions): string {
  const code = typeof error.code === 'string' ? error.code : '';
  const message = redact(error.message);
  if (code === 'ERR_MQTT_SECRET') return message;
  const certificate = CERTIFICATES[code];
  if (certificate !== undefined)
    return `the certificate of the broker is not accepted: ${certificate} (${code})`;
  const network = NETWORK[code];
  if (network !== undefined) return `${network} (${code})`;
  // A TLS alert from the broker: OpenSSL names it at the end of its code.
  const alert = /^ERR_SSL_\w*ALERT_(\w+)$/.exec(code)?.[1];
  if (alert !== undefined) {
    const words = alert.toLowerCase().replaceAll('_', ' ');
    return `the broker refuses TLS: ${words}; if it asks for a client certificate, set mqtt.tls.cert and mqtt.tls.key`;
  }
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'EPROTO')
    return 'the broker does not speak TLS at that port: is it one for mqtt://?';
  if (code.startsWith('ERR_OSSL_') || code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_'))
    return `TLS: ${message} (${code}); check the files of mqtt.tls`;
  if (message === 'connack timeout') {
    const seconds = options.connectTimeoutMs / 1000;
    return `the broker has not accepted the connection within ${seconds} s`;
  }
  if (message === 'Keepalive timeout') return 'the broker no longer answers';
  return code === '' || message.includes(code) ? message : `${message} (${code})`;
}
