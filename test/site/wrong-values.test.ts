import type * as v from 'valibot';
import { expect, test } from 'vitest';
import { check } from '../../src/lib/schema.ts';
import { ACCOUNT_CHANGE, NEW_ACCOUNT, NEW_ENROLMENT, NEW_TOKEN } from '../../src/site/api/resources.ts';
import { OidcProviderSettings } from '../../src/site/oidc/settings.ts';

const PROVIDER = { issuer: 'https://login.example.org', clientId: 'metahub' };

test.each<[string, v.GenericSchema, object, string]>([
  [
    'the date of a token',
    NEW_TOKEN,
    { name: 'ci', expires: '2027-01-31' },
    '“2027-01-31” is not a time: write 2027-01-31T00:00:00Z',
  ],
  [
    'the time of an enrolment',
    NEW_ENROLMENT,
    { name: 'n', type: 't', expires: 'tomorrow' },
    '“tomorrow” is not a time: write 2027-01-31T00:00:00Z',
  ],
  [
    'the role of a new account',
    NEW_ACCOUNT,
    { user: 'a', role: 'pulller' },
    '“pulller” is not one of admin, publisher, puller; did you mean puller?',
  ],
  [
    'the role of an account',
    ACCOUNT_CHANGE,
    { role: 'root' },
    '“root” is not one of admin, publisher, puller',
  ],
  [
    'a group of people who log in at a provider',
    OidcProviderSettings,
    { ...PROVIDER, accounts: [{ account: '{email}', groups: ['a b'] }] },
    '“a b” is not a name: it may contain letters, digits and . _ - @ only',
  ],
  [
    'that scopes of a provider are missing',
    OidcProviderSettings,
    { ...PROVIDER, scopes: [], accounts: [{ account: '{email}' }] },
    'a scope is expected',
  ],
])('an error names %s, and what to write', (_, schema, written, why) => {
  expect(check(schema, written).problems?.map((problem) => problem.why)).toContain(why);
});
