import { generateKeyPairSync } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { checkCloudKeys } from '../../../src/site/enrolment/cloud-keys.ts';
import type { CloudRule } from '../../../src/site/enrolment/cloud-rules.ts';
import { createAzureSigner } from '../../support/azure-signer.ts';
import { selfSigned } from '../../support/certificates.ts';
import { hashed } from '../../support/site.ts';
import { serveSite } from '../../support/site-server.ts';
import { dataDirectory } from '../../support/store.ts';

let certificate: string;
/** Its key is for ECDSA. */
let ecCertificate: string;
beforeAll(async () => {
  certificate = (await selfSigned('ec2.eu-central-1')).cert;
  const openssl = await createAzureSigner();
  ecCertificate = (await openssl.make({ extensions: [] })).pem;
  await openssl.remove();
});

const jwkOf = (type: 'rsa' | 'ed25519') => {
  const { publicKey } =
    type === 'rsa' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : generateKeyPairSync('ed25519');
  return { ...publicKey.export({ format: 'jwk' }), kid: 'k' };
};
const keySet = (...keys: readonly object[]) => JSON.stringify({ keys });

async function check(cloud: CloudRule['cloud'], text: string): Promise<void> {
  const keys = join(await dataDirectory(), 'keys');
  await writeFile(keys, text);
  await checkCloudKeys({
    ...{ cloud, keys, accounts: ['a'], maxAge: 1, account: 'nodes' },
    types: new Map([['*', 'spr']]),
  });
}

describe('checkCloudKeys()', () => {
  test('accepts the keys that each cloud publishes', async () => {
    const given: readonly (readonly [CloudRule['cloud'], string])[] = [
      ['aws', `# of all regions\n${certificate}`],
      ['aws', `${ecCertificate}${certificate}`],
      ['azure', certificate],
      ['azure', ecCertificate],
      // A key of a new kind does not spoil the others.
      ['gcp', keySet(jwkOf('ed25519'), { kty: 'new' }, jwkOf('rsa'))],
    ];
    for (const [cloud, text] of given) await expect(check(cloud, text), cloud).resolves.toBeUndefined();
  });

  const BROKEN = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
  test.each<[CloudRule['cloud'], string, string, number, number]>([
    ['aws', 'an empty file', '', 1, 1],
    ['aws', 'a broken certificate', `# one\n ${BROKEN}`, 2, 2],
    ['azure', 'a JWKS', keySet(), 1, 1],
    ['azure', 'a broken certificate', `\n\n${BROKEN}`, 3, 1],
    ['gcp', 'other JSON', '{"keys": 1}', 1, 1],
    ['gcp', 'no keys', keySet(), 1, 1],
    ['gcp', 'a key without a kind', keySet({}), 1, 1],
    ['gcp', 'a list', '[]', 1, 1],
    ['gcp', 'no RSA key', keySet(jwkOf('ed25519')), 1, 1],
    ['gcp', 'a broken key', '{"keys": [\n  { "kty": "new" },\n  { "kty": "RSA", "e": "AQAB" }]}', 3, 3],
  ])('refuses, as keys of %s, %s, and names the place', async (cloud, _, text, line, column) => {
    await expect(check(cloud, text)).rejects.toMatchObject({
      ...{ name: 'ConfigError', code: 'invalid-value', file: expect.stringMatching(/keys$/), line, column },
    });
  });

  test('refuses, as keys of gcp, a file that is not JSON, and names the place', async () => {
    const refused = { name: 'ConfigError', code: 'syntax', line: 2, column: 1 };
    await expect(check('gcp', '{"keys":\n?')).rejects.toMatchObject(refused);
  });

  test('refuses, as keys of aws, a certificate whose key is not for RSA', async () => {
    const refused = { code: 'invalid-value', line: 1, column: 1 };
    await expect(check('aws', ecCertificate)).rejects.toMatchObject(refused);
  });

  test('refuses a broken certificate after a good one', async () => {
    const refused = { code: 'invalid-value', line: certificate.trimEnd().split('\n').length + 1 };
    await expect(check('azure', `${certificate.trimEnd()}\n${BROKEN}`)).rejects.toMatchObject(refused);
  });
});

async function siteOf(keys: string) {
  const rule: CloudRule = {
    ...{ cloud: 'aws', keys, accounts: ['1'], maxAge: 1, account: 'nodes' },
    types: new Map([['*', 'spr']]),
  };
  return serveSite(
    {
      'nodes.yaml': `user: nodes\npassword: "${await hashed('nodes')}"\ntypes: [{ name: spr, features: [] }]\n`,
    },
    { enrolment: [rule] },
  );
}

test('a site does not open with unreadable keys of a cloud', async () => {
  const file = join(await dataDirectory(), 'none.pem');
  await expect(siteOf(file)).rejects.toMatchObject({ name: 'ConfigError', code: 'unreadable', file });
});

test('a site logs why an instance cannot enrol, once the keys of its cloud are gone', async () => {
  const file = join(await dataDirectory(), 'aws.pem');
  await writeFile(file, certificate);
  const { ask, log } = await siteOf(file);
  await rm(file);
  const json = { aws: { document: '{}', signature: '' } };
  const answer = await ask('/site/enrol', { method: 'POST', json });
  expect(answer.status).toBe(500);
  expect(JSON.stringify(await answer.json())).not.toContain(file);
  expect(log.at(-1)).toEqual({
    event: 'endpoint-failed',
    fields: { reason: expect.stringContaining(`${file}: cannot read the keys of aws`) },
  });
});
