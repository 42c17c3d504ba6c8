import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { redact } from '../../../src/exporters/mqtt/secrets.ts';
import { connackText, disconnectText, failureText } from '../../../src/exporters/mqtt/worker/failure-text.ts';
import { mqttOptions } from './mqtt-fixture.ts';

const options = mqttOptions('mqtts://broker.plant:8883');

function text(code: string | undefined, message = 'some text'): string {
  return failureText(Object.assign(new Error(message), code === undefined ? {} : { code }), options);
}

describe('reasons for people', () => {
  it('say what to do about a certificate', () => {
    expect(text('CERT_HAS_EXPIRED')).toBe(
      'the certificate of the broker is not accepted: it has expired: renew it, or set the clock of this machine (CERT_HAS_EXPIRED)',
    );
    expect(text('SELF_SIGNED_CERT_IN_CHAIN')).toContain('mqtt.tls.ca');
    expect(text('ERR_TLS_CERT_ALTNAME_INVALID')).toContain('mqtt.tls.serverName');
    expect(text('ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED')).toContain('certificate required');
  });

  it('say what the network says', () => {
    expect(text('ENOTFOUND')).toContain('unknown');
    expect(text('ECONNREFUSED')).toContain('nothing listens');
    expect(text('ENETDOWN', 'connect ENETDOWN')).toBe('connect ENETDOWN');
    expect(text(undefined, 'Unexpected server response: 404')).toBe('Unexpected server response: 404');
  });

  it('have words for every code, known or not', () => {
    for (let code = 1; code <= 255; code++) {
      expect(connackText(code, options)).toMatch(/^the (broker|administrator)|^another|^a quota/);
      expect(disconnectText(code)).toMatch(/^the (broker|administrator)|^another|^a quota/);
    }
  });

  it('tell no user info of URLs', () => {
    expect(redact('cannot reach mqtts://me:secret@broker:8883/x, sorry')).toBe(
      'cannot reach mqtts://broker:8883/x, sorry',
    );
    expect(redact('write to a@b')).toBe('write to a@b');
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Za-z0-9:._~!$&'()*+,;=%-]{1,30}$/), (userInfo) => {
        expect(redact(`ws://${userInfo}@host/`)).toBe('ws://host/');
      }),
    );
  });
});
