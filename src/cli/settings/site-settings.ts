import * as v from 'valibot';
import { Text } from '../../lib/schema.ts';
import { formatRedisAddress, type RedisAddress, RedisUrl } from '../../replicas/redis-address.ts';
import { CloudEnrolment, type CloudRule } from '../../site/enrolment/cloud-rules.ts';
import { OidcProviderSettings, type OidcSettings } from '../../site/oidc/settings.ts';
import type { Setting } from './setting.ts';

const OIDC: Setting<OidcSettings | undefined> = {
  help: 'the OpenID provider that people log in at: issuer, clientId, clientSecretFile, and accounts (rules that map claims to accounts)',
  fallback: () => undefined,
  schema: OidcProviderSettings,
};

const ENROLMENT: Setting<readonly CloudRule[]> = {
  help: 'rules by which cloud instances get a login, from the identity document of their cloud: cloud, keys, accounts, account, types',
  fallback: () => [],
  schema: v.array(CloudEnrolment),
};

/**
 * The settings of logins that the operator does not create: those of people at a provider, and of cloud
 * instances.
 */
export const LOGIN_SETTINGS = { oidc: OIDC, enrolment: ENROLMENT } as const;

interface SharedSettings {
  readonly shared: Setting<RedisAddress | undefined>;
  readonly sharedPassword: Setting<string | undefined>;
  readonly sharedCa: Setting<string | undefined>;
}

/** The settings of the state that replicas of a mirror share. */
export const SHARED_SETTINGS: SharedSettings = {
  shared: {
    flags: '--shared <url>',
    help: 'the Redis or Valkey that the replicas of this mirror share: rediss://redis.example.org',
    fallback: () => undefined,
    schema: RedisUrl,
    format: (address: RedisAddress | undefined) => address && formatRedisAddress(address),
  },
  sharedPassword: {
    flags: '--shared-password <file>',
    help: 'the file with the password of that Redis',
    fallback: () => undefined,
    schema: Text,
  },
  sharedCa: {
    flags: '--shared-ca <file>',
    help: 'the file with the authority that signed the certificate of that Redis (PEM); without it, the authorities that Node.js knows',
    fallback: () => undefined,
    schema: Text,
  },
};
