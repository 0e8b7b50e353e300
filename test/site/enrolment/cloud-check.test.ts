import { createPrivateKey, sign } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { check } from '../../../src/lib/schema.ts';
import { createCloudCheck } from '../../../src/site/enrolment/cloud-identity.ts';
import { CloudEnrolment, PRESENTED_IDENTITY } from '../../../src/site/enrolment/cloud-rules.ts';
import { createAzureSigner } from '../../support/azure-signer.ts';
import { selfSigned } from '../../support/certificates.ts';
import { temporaryFolder } from '../../support/folder.ts';

/** The rules of clouds at their bounds, with AWS's document, which needs no challenge. */

const NOW_MS = Date.parse('2026-01-01T12:00:00Z');
const HOUR_MS = 60 * 60_000;
const OWNER = '123456789012';
const RULE = { cloud: 'aws', accounts: [OWNER], account: 'nodes', types: { 'c7i.*': 'spr' } };

let key: { readonly cert: string; readonly key: string };
beforeAll(async () => {
  key = await selfSigned('ec2.eu-central-1');
});

/** How AWS signs the document. */
interface Signing {
  readonly hash?: string;
  /** The private key in PEM. */
  readonly by?: string;
  /** The certificates that the site has. */
  readonly certificates?: string;
  /** Changes the signature's base64. */
  readonly written?: (signature: string) => string;
}

/** What a site with these rules says of an instance at noon. */
async function verdictOn(rules: readonly object[], change: object = {}, signing: Signing = {}) {
  const { hash = 'sha256', by = key.key, certificates = key.cert, written = (text) => text } = signing;
  const keys = join(temporaryFolder(), 'aws.pem');
  writeFileSync(keys, certificates);
  const read = rules.map((rule) => {
    const { output } = check(CloudEnrolment, { keys, ...rule });
    if (output === undefined) throw new Error('no rule');
    return output;
  });
  const document = JSON.stringify({
    ...{ accountId: OWNER, instanceId: 'i-1234567890abcdef0', instanceType: 'c7i.xlarge' },
    ...{ region: 'eu-central-1', pendingTime: new Date(NOW_MS).toISOString(), ...change },
  });
  const signed = sign(hash, Buffer.from(document), createPrivateKey(by));
  const signature = written(signed.toString('base64'));
  const checks = createCloudCheck(read, {
    audience: 'https://hub.example.org',
    challengedMs: () => undefined,
    wallClock: () => NOW_MS,
  });
  const verdict = await checks({ aws: { document, signature } });
  return verdict.kind === 'known' ? verdict.machine : verdict.reason;
}
const machine = (type = 'spr') => ({ account: 'nodes', type, name: 'aws-i-1234567890abcdef0' });

describe('an instance', () => {
  test.each<[string, number, object, unknown]>([
    ['an hour old, without a bound of its own', HOUR_MS, {}, machine()],
    ['older than an hour', HOUR_MS + 1, {}, 'old-identity'],
    ['as old as its rule allows', 30 * 60_000, { maxAge: '30m' }, machine()],
    ['older than its rule allows', 30 * 60_000 + 1, { maxAge: '30m' }, 'old-identity'],
    ['two days old', 48 * HOUR_MS, { maxAge: '2d' }, machine()],
    ['half a minute ahead, as clocks may be', -30_000, {}, machine()],
    ['more than half a minute ahead', -30_001, {}, 'old-identity'],
  ])('that is %s (%i ms)', async (_, ageMs, rule, expected) => {
    const pendingTime = new Date(NOW_MS - ageMs).toISOString();
    expect(await verdictOn([{ ...RULE, ...rule }], { pendingTime })).toEqual(expected);
  });

  test.each<[string, object, object, unknown]>([
    ['any region, where none is named', {}, { region: 'us-east-1' }, machine()],
    ['a named region', { regions: ['a', 'us-east-1'] }, { region: 'us-east-1' }, machine()],
    ['a region that is not named', { regions: ['us-east-1'] }, {}, 'other-account-or-region'],
    ['one of several accounts', { accounts: ['a', OWNER] }, {}, machine()],
    ['an account in other letters', { accounts: ['ABC'] }, { accountId: 'aBc' }, machine()],
    ['an account that begins like it', { accounts: [`${OWNER}0`] }, {}, 'other-account-or-region'],
    ['the first type that fits', { types: { '*.xlarge': 'x', 'c7i.*': 'spr' } }, {}, machine('x')],
    ['a type of a choice', { types: { 'c{6,7}i.*': 'spr' } }, {}, machine()],
    ['no type by another name behind !', { types: { '!x': 'spr' } }, {}, 'no-machine-type'],
    ['a type for all', { types: { '*': 'all' } }, { instanceType: '.c7i' }, machine('all')],
    ['no type', { types: { 'c7i.large': 'l' } }, {}, 'no-machine-type'],
  ])('gets what its rule says: %s', async (_, rule, change, expected) => {
    expect(await verdictOn([{ ...RULE, ...rule }], change)).toEqual(expected);
  });

  test.each<[string, readonly object[], unknown]>([
    ['of another cloud', [{ ...RULE, cloud: 'gcp' }], 'unsigned-identity'],
    // All rules name the same file of keys.
    [
      'of another cloud with the same keys',
      [
        { ...RULE, cloud: 'azure', types: { '*': 'x' } },
        { ...RULE, accounts: ['a'] },
      ],
      'other-account-or-region',
    ],
    [
      'of another cloud with the same keys first',
      [{ ...RULE, cloud: 'azure', types: { '*': 'x' } }, RULE],
      machine(),
    ],
    [
      'without its type first',
      [
        { ...RULE, types: { x: 'x' } },
        { ...RULE, types: { '*': 'y' } },
      ],
      machine('y'),
    ],
    ['of another account first', [{ ...RULE, accounts: ['a'] }, RULE], machine()],
    // The rule that fits decides: a later one does not make the identity younger.
    ['that is too strict first', [{ ...RULE, maxAge: '0m' }, RULE], 'old-identity'],
    ['of which there are none', [], 'unsigned-identity'],
  ])('has rules %s', async (_, rules, expected) => {
    const pendingTime = new Date(NOW_MS - 1).toISOString();
    expect(await verdictOn(rules, { pendingTime })).toEqual(expected);
  });

  test.each([
    ['an instance ID of 8 digits', { instanceId: 'i-01234567' }, true],
    ['an instance ID of 7 digits', { instanceId: 'i-0123456' }, false],
    ['an instance ID of 32 digits', { instanceId: `i-${'0'.repeat(32)}` }, true],
    ['an instance ID of 33 digits', { instanceId: `i-${'0'.repeat(33)}` }, false],
    ['an instance ID with more after it', { instanceId: 'i-01234567/x' }, false],
    ['an instance ID with more before it', { instanceId: 'x/i-01234567' }, false],
    ['an instance ID with a line before it', { instanceId: 'x\ni-01234567' }, false],
    ['an instance ID with a line end after it', { instanceId: 'i-01234567\n' }, false],
    ['an instance ID in upper case', { instanceId: 'I-01234567' }, false],
    ['an instance ID with digits in upper case', { instanceId: 'i-0123456A' }, false],
    ['an instance ID with a letter that is no digit', { instanceId: 'i-0123456g' }, false],
    ['an instance ID without its prefix', { instanceId: '01234567' }, false],
    ['an instance ID of another kind', { instanceId: 'mi-01234567' }, false],
    ['a launch time without a zone', { pendingTime: '2026-01-01T12:00:00' }, false],
    ['a launch day', { pendingTime: '2026-01-01' }, false],
    ['a launch time with more before it', { pendingTime: ' 2026-01-01T12:00:00Z' }, false],
    ['a launch time with more after it', { pendingTime: '2026-01-01T12:00:00Z ' }, false],
    ['a launch time as AWS writes it', { pendingTime: '2026-01-01T12:00:00Z' }, true],
    ['no launch time', { pendingTime: 'today' }, false],
    ['no region', { region: undefined }, false],
    ['no account', { accountId: 7 }, false],
    ['no type', { instanceType: undefined }, false],
  ])('has a document with %s', async (_, change, isRead) => {
    const verdict = await verdictOn([RULE], change);
    expect(verdict === 'unsigned-identity').toBe(!isRead);
  });
});

describe.each(['accountId', 'instanceId', 'instanceType', 'region', 'pendingTime'])(
  'the field %s',
  (field) => {
    test.each([[undefined], [null], [7], [true], [[]], [{}], [['i-01234567']]])(
      'is not %j',
      async (value) => {
        expect(await verdictOn([RULE], { [field]: value })).toBe('unsigned-identity');
      },
    );
  },
);

describe('a signature of AWS', () => {
  test('is base64 with or without line ends', async () => {
    const inLines = (end: string) => (text: string) => text.replaceAll(/.{64}/g, `$&${end}`) + end;
    for (const end of ['', '\n', '\r\n', ' \t'])
      expect(await verdictOn([RULE], {}, { written: inLines(end) })).toEqual(machine());
  });

  test.each(['sha1', 'md5', 'sha224', 'sha384', 'sha512'])('is not by %s', async (hash) => {
    expect(await verdictOn([RULE], {}, { hash })).toBe('unsigned-identity');
  });

  test('is by the RSA key of any certificate in the file, and by no key of another kind', async () => {
    const openssl = await createAzureSigner();
    const ec = await openssl.make({ extensions: [] });
    const ed25519 = await openssl.make({ extensions: [], key: ['-algorithm', 'ED25519'] });
    const [by, certificates] = [readFileSync(ec.keyFile, 'utf8'), `${ed25519.pem}${ec.pem}${key.cert}`];
    await openssl.remove();
    expect(await verdictOn([RULE], {}, { certificates })).toEqual(machine());
    expect(await verdictOn([RULE], {}, { certificates, by })).toBe('unsigned-identity');
    expect(await verdictOn([RULE], {}, { certificates: '' })).toBe('unsigned-identity');
  });
});

test.each([
  ['0m', true],
  ['9999d', true],
  ['90m', true],
  ['10000d', false],
  ['90', false],
  ['90s', false],
  ['1.5h', false],
  ['1h30m', false],
  ['', false],
  ['h', false],
])('a rule takes the maximum age %j: %j', (maxAge, isTaken) => {
  const { output } = check(CloudEnrolment, { ...RULE, keys: 'aws.pem', maxAge });
  expect(output !== undefined).toBe(isTaken);
});

test.each([
  ['no account', { accounts: [] }],
  ['no region', { regions: [] }],
  ['an account that is no name', { account: 'a/b' }],
  ['a type that is no name', { types: { x: 'a b' } }],
  ['another cloud', { cloud: 'oci' }],
])('a rule with %s is invalid', (_, change) => {
  const { problems } = check(CloudEnrolment, { ...RULE, keys: 'aws.pem', ...change });
  expect(problems).toHaveLength(1);
});

test.each([
  ['of 43 characters', 's'.repeat(43), true],
  ['of 42', 's'.repeat(42), false],
  ['of 44', 's'.repeat(44), false],
  ['with another character', `${'s'.repeat(42)}+`, false],
])('the secret of an Azure VM is base64url of 32 bytes: %s', (_, secret, isRead) => {
  const { output } = check(PRESENTED_IDENTITY, { azure: { document: 'd', challenge: 'c', secret } });
  expect(output !== undefined).toBe(isRead);
});
