import { pbkdf2Sync, randomBytes } from 'node:crypto';

/** What one user may subscribe to; everything else is allowed. */
export interface SubscriptionRules {
  readonly username: string;
  readonly password: string;
  /** Topic filters whose subscription is refused, with reason code 0x87 (0x80 in version 3.1.1). */
  readonly refused: readonly string[];
}

/** What mosquitto_ctrl writes, too. */
const ITERATIONS = 101;

/** Configuration of the plugin mosquitto_dynamic_security (the format of `mosquitto_ctrl dynsec init`). */
export function rolesFile(rules: SubscriptionRules): string {
  const salt = randomBytes(12);
  return JSON.stringify({
    defaultACLAccess: {
      publishClientSend: true,
      publishClientReceive: true,
      subscribe: true,
      unsubscribe: true,
    },
    clients: [
      {
        username: rules.username,
        roles: [{ rolename: 'service' }],
        password: pbkdf2Sync(rules.password, salt, ITERATIONS, 64, 'sha512').toString('base64'),
        salt: salt.toString('base64'),
        iterations: ITERATIONS,
      },
    ],
    groups: [],
    roles: [
      {
        rolename: 'service',
        acls: rules.refused.map((topic) => ({
          acltype: 'subscribeLiteral',
          topic,
          allow: false,
          priority: 0,
        })),
      },
    ],
  });
}
