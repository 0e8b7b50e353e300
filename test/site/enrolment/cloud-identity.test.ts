import { createPrivateKey, sign } from 'node:crypto';
import { appendFile, copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { generateKeyPair, importPKCS8, type JWTPayload, SignJWT, UnsecuredJWT } from 'jose';
import { afterAll, describe, expect, test } from 'vitest';
import { check } from '../../../src/lib/schema.ts';
import { azureNonce, commitmentTo, createAzureSecret } from '../../../src/site/enrolment/azure-nonce.ts';
import type { CloudRule, PresentedIdentity } from '../../../src/site/enrolment/cloud-rules.ts';
import { CloudEnrolment } from '../../../src/site/enrolment/cloud-rules.ts';
import { selfSigned } from '../../support/certificates.ts';
import { createCloudKeys, writePublicKeys } from '../../support/cloud-keys.ts';
import { azureContent } from '../../support/metadata-service.ts';
import { basic, hashed } from '../../support/site.ts';
import { serveSite } from '../../support/site-server.ts';
import { dataDirectory } from '../../support/store.ts';

const SITE = 'https://hub.example.org';

/** As AWS writes it; the field's order and spaces are part of what is signed. */
const DOCUMENT = {
  accountId: '123456789012',
  architecture: 'x86_64',
  availabilityZone: 'eu-central-1a',
  billingProducts: null,
  imageId: 'ami-5fb8c835',
  instanceId: 'i-1234567890abcdef0',
  instanceType: 'c7i.xlarge',
  kernelId: null,
  pendingTime: '',
  privateIp: '10.158.112.84',
  ramdiskId: null,
  region: 'eu-central-1',
  version: '2017-09-30',
};

const VM = {
  subscriptionId: '8d10da13-8125-4ba9-a717-bf7490507b3d',
  vmId: '02aab8a4-74ef-476e-8182-f6d2ba4166a6',
};

/** Made once: keys take a while. */
const cloudKeys = createCloudKeys();
const others = Promise.all(['ec2.us-east-1', 'mallory'].map(selfSigned));
afterAll(async () => (await cloudKeys).openssl.remove());

function ruleOf(written: object): CloudRule {
  const { output, problems } = check(CloudEnrolment, written);
  if (output === undefined) throw new Error(JSON.stringify(problems));
  return output;
}

async function site(
  more: object = {},
  moreAzure: object = {},
  further: readonly object[] = [],
  wallClock = Date.now,
) {
  const folder = await dataDirectory();
  const keys = await cloudKeys;
  const { aws, azure, openssl } = keys;
  const privateKey = await importPKCS8(keys.gcp, 'RS256');
  const files = writePublicKeys(folder, keys);
  await appendFile(files.aws, (await others)[0]?.cert ?? '');
  const copied = join(folder, 'copied.pem');
  await copyFile(files.aws, copied);
  const opened = await serveSite(
    {
      'nodes.yaml': `user: nodes\npassword: "${await hashed('nodes')}"\ntypes:
  - { name: spr, features: [cpu:sapphirerapids] }
  - { name: gpu, features: [cpu:zen4, nvcap:8.9] }\n`,
    },
    {
      wallClock,
      url: SITE,
      enrolment: [
        ruleOf({
          ...{ cloud: 'aws', keys: files.aws, accounts: ['123456789012'], regions: ['eu-central-1'] },
          ...{ account: 'nodes', types: { 'c7i.*': 'spr', 'g6.*': 'gpu' } },
          ...more,
        }),
        ruleOf({
          ...{ cloud: 'azure', keys: files.azure, accounts: [VM.subscriptionId.toUpperCase()] },
          ...{ regions: ['westeurope'], account: 'nodes', types: { '02aab8a4-*': 'spr' } },
          ...moreAzure,
        }),
        ruleOf({
          ...{ cloud: 'gcp', keys: files.gcp, accounts: ['lab-hpc'], regions: ['europe-west4'] },
          ...{ account: 'nodes', types: { 'c3-*': 'spr' } },
        }),
        ...further.map((rule) => ruleOf({ cloud: 'aws', keys: copied, account: 'nodes', ...rule })),
      ],
    },
  );
  const enrol = (presented: PresentedIdentity | object) =>
    opened.ask('/site/enrol', { method: 'POST', json: presented });
  const signed = (document: string, key = aws.key) => ({
    aws: {
      document,
      // In lines, as the instance's metadata service writes it.
      signature: sign('sha256', Buffer.from(document), createPrivateKey(key))
        .toString('base64')
        .replaceAll(/.{76}/g, '$&\n'),
    },
  });
  const awsOf = (change: object = {}) =>
    signed(JSON.stringify({ ...DOCUMENT, pendingTime: new Date().toISOString(), ...change }, undefined, 2));
  const azureOf = async (change: object = {}, { origin = SITE, ageMs = 0 } = {}) => {
    const secret = createAzureSecret();
    const asked = await opened.ask(`/site/enrol?commitment=${commitmentTo(secret)}`);
    const { challenge } = await asked.json();
    const answer = { challenge, secret };
    const content = azureContent({ ...VM, ...change }, azureNonce(answer, origin), Date.now() - ageMs);
    return { azure: { document: await openssl.sign(content, azure.signer), ...answer } };
  };
  const gcpClaims = (change: object = {}, instance: object = {}): JWTPayload => {
    const nowS = Math.floor(Date.now() / 1000);
    return {
      ...{ iss: 'https://accounts.google.com', aud: SITE, sub: '1', iat: nowS, exp: nowS + 3600 },
      google: {
        compute_engine: {
          ...{ project_id: 'lab-hpc', project_number: 1, zone: 'europe-west4-a', instance_id: '4567' },
          ...{ instance_name: 'c3-node-7', instance_creation_timestamp: nowS },
          ...instance,
        },
      },
      ...change,
    };
  };
  const gcpOf = async (change: object = {}, instance: object = {}) => ({
    gcp: await new SignJWT(gcpClaims(change, instance))
      .setProtectedHeader({ alg: 'RS256', kid: 'g' })
      .sign(privateKey),
  });
  const reasons = () =>
    opened.log.flatMap(({ event, fields }) => (event === 'access-refused' ? [fields['reason']] : []));
  const given = async (answer: { json(): Promise<unknown> }) =>
    (await answer.json()) as { readonly login: string; readonly token: string };
  return { ...opened, enrol, signed, awsOf, azureOf, gcpOf, gcpClaims, reasons, given, folder };
}

describe('an instance of AWS', () => {
  test('enrols once by its signed identity document, as the machine type of its instance type', async () => {
    const { enrol, awsOf, given, admit, featuresOf, reasons, machines } = await site();
    const presented = awsOf();
    const { login, token } = await given(await enrol(presented));
    expect(login).toBe('nodes-spr');
    expect(featuresOf(await admit(basic(login, token), 'qnib/bench'))).toContain('cpu:sapphirerapids');
    expect(await readFile(join(machines, 'nodes.yaml'), 'utf8')).toContain('name: aws-i-1234567890abcdef0');
    expect((await enrol(presented)).status).toBe(403);
    expect((await enrol(awsOf({ imageId: 'another' }))).status).toBe(403);
    expect(reasons()).toEqual(Array(2).fill('enrolled-before'));
    expect(
      (await given(await enrol(awsOf({ instanceId: 'i-99999999', instanceType: 'g6.xlarge' })))).login,
    ).toBe('nodes-gpu');
  });

  test.each([
    ['account', { accountId: '999999999999' }, 'other-account-or-region'],
    ['region', { region: 'us-east-1' }, 'other-account-or-region'],
    ['instance type', { instanceType: 't3.micro' }, 'no-machine-type'],
    ['age', { pendingTime: new Date(Date.now() - 2 * 3600_000).toISOString() }, 'old-identity'],
    ['launch in the future', { pendingTime: new Date(Date.now() + 3600_000).toISOString() }, 'old-identity'],
    ['id that is a path', { instanceId: '../../x' }, 'unsigned-identity'],
  ])('is refused by its %s', async (_, change, reason) => {
    const { enrol, awsOf, reasons } = await site();
    expect((await enrol(awsOf(change))).status).toBe(403);
    expect(reasons()).toEqual([reason]);
  });

  test('is refused with a changed document, or one with another signature', async () => {
    const { enrol, awsOf, signed, reasons } = await site();
    const { aws } = awsOf();
    const mallory = (await others)[1]?.key ?? '';
    for (const presented of [
      { aws: { ...aws, document: aws.document.replace('c7i.xlarge', 'g6.xlarge') } },
      { aws: { ...aws, document: `${aws.document} ` } },
      { aws: { ...aws, signature: '' } },
      signed(aws.document, mallory),
    ]) {
      expect((await enrol(presented)).status).toBe(403);
    }
    expect(new Set(reasons())).toEqual(new Set(['unsigned-identity']));
  });
});

test('the key in the file of one rule signs for the accounts of that rule only', async () => {
  const mallory = (await others)[1];
  const keys = join(await dataDirectory(), 'mallory.pem');
  await writeFile(keys, mallory?.cert ?? '');
  const rule = { keys, accounts: ['999999999999'], types: { '*': 'gpu' } };
  const { enrol, signed, given, reasons } = await site({}, {}, [rule]);
  const by = (accountId: string) =>
    signed(JSON.stringify({ ...DOCUMENT, accountId, pendingTime: new Date().toISOString() }), mallory?.key);
  expect((await enrol(by('123456789012'))).status).toBe(403);
  expect(reasons()).toEqual(['other-account-or-region']);
  expect((await given(await enrol(by('999999999999')))).login).toBe('nodes-gpu');
});

test('an instance enrols by the rule of a second key file when the rules of the first one refuse it', async () => {
  const rule = { accounts: ['999999999999'], regions: ['us-east-1'], types: { 'g6.*': 'gpu' } };
  const { enrol, awsOf, given, reasons } = await site({}, {}, [rule]);
  const there = { accountId: '999999999999', region: 'us-east-1' };
  expect((await given(await enrol(awsOf({ ...there, instanceType: 'g6.xlarge' })))).login).toBe('nodes-gpu');
  expect((await enrol(awsOf({ ...there, instanceId: 'i-99999999' }))).status).toBe(403);
  expect((await enrol(awsOf({ accountId: '111111111111' }))).status).toBe(403);
  expect(reasons()).toEqual(['no-machine-type', 'other-account-or-region']);
});

test('an instance is refused when its machine type was removed a moment ago', async () => {
  const { enrol, awsOf, reasons, machines } = await site();
  const file = join(machines, 'nodes.yaml');
  // The clock stands still: the site has not read the file again.
  const without = (await readFile(file, 'utf8')).replace(/^ *- \{ name: spr.*\n/m, '');
  await writeFile(file, without);
  expect((await enrol(awsOf())).status).toBe(403);
  expect(reasons()).toEqual(['no-machine-type']);
  expect(await readFile(file, 'utf8')).toBe(without);
});

describe('a VM of Azure', () => {
  test('enrols once by its attested document, as the machine type of its VM ID', async () => {
    const { enrol, azureOf, given, reasons, machines } = await site();
    const presented = await azureOf();
    expect((await given(await enrol(presented))).login).toBe('nodes-spr');
    expect(await readFile(join(machines, 'nodes.yaml'), 'utf8')).toContain(`name: azure-${VM.vmId}`);
    for (const again of [presented, await azureOf()]) expect((await enrol(again)).status).toBe(403);
    expect(reasons()).toEqual(Array(2).fill('enrolled-before'));
  });

  test.each<[string, object, object, object, string]>([
    ['another subscription', { subscriptionId: VM.vmId }, {}, {}, 'other-account-or-region'],
    ['another region', {}, {}, { regions: ['eastus'] }, 'other-account-or-region'],
    ['a VM ID without machine type', { vmId: VM.subscriptionId }, {}, {}, 'no-machine-type'],
    ['a document for another site', {}, { origin: 'https://evil.example' }, {}, 'unsigned-identity'],
    ['a document that is older than its challenge', {}, { ageMs: 60_000 }, {}, 'unsigned-identity'],
    ['a document that is old', {}, { ageMs: 10_000 }, { maxAge: '0m' }, 'old-identity'],
  ])('is refused with %s', async (_, change, made, rule, reason) => {
    const { enrol, azureOf, reasons } = await site({}, rule);
    expect((await enrol(await azureOf(change, made))).status).toBe(403);
    expect(reasons()).toEqual([reason]);
  });

  test('is refused with a document that answers no challenge of this site', async () => {
    const { enrol, azureOf, reasons } = await site();
    const { azure } = await azureOf();
    const other = (await azureOf()).azure.challenge;
    for (const challenge of [other, '', `${other}A`]) {
      expect((await enrol({ azure: { ...azure, challenge } })).status).toBe(403);
    }
    const { secret } = (await azureOf()).azure;
    expect((await enrol({ azure: { ...azure, secret } })).status).toBe(403);
    expect(new Set(reasons())).toEqual(new Set(['unsigned-identity']));
    expect((await enrol({ azure: { ...azure, secret: `${secret}A` } })).status).toBe(400);
  });

  test.each([
    '',
    '?commitment=',
    `?commitment=${'A'.repeat(42)}`,
    `?commitment=${'A'.repeat(44)}`,
    `?commitment=${'A'.repeat(42)}%2b`,
    `?commitment=${'A'.repeat(43)}&commitment=${'B'.repeat(43)}`,
  ])('gets no challenge without exactly one commitment: %j', async (query) => {
    expect((await (await site()).ask(`/site/enrol${query}`)).status).toBe(400);
  });

  test('gets no challenge beyond a thousand of its address in a minute', async () => {
    let now = Date.now();
    const { ask } = await site({}, {}, [], () => now);
    const challenge = () => ask(`/site/enrol?commitment=${'A'.repeat(43)}`);
    const statuses = await Promise.all(Array.from({ length: 1_000 }, async () => (await challenge()).status));
    expect(new Set(statuses)).toEqual(new Set([200]));
    const refused = await challenge();
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '60']);
    now += 60_000;
    expect((await challenge()).status).toBe(200);
  });

  test('gets no challenge from a site that does not enrol VMs of Azure', async () => {
    const { ask } = await serveSite({ 'a.yaml': `user: a\npassword: "${await hashed('a')}"\n` });
    const answer = await ask('/site/enrol');
    expect([answer.status, answer.headers.get('allow')]).toEqual([405, 'POST']);
    expect((await (await site()).ask('/site/enrol', { method: 'PUT' })).headers.get('allow')).toBe(
      'GET, POST',
    );
  });
});

describe('an instance of GCP', () => {
  test('enrols once by a token of Google for this site', async () => {
    const { enrol, gcpOf, given, reasons, machines } = await site();
    expect((await given(await enrol(await gcpOf()))).login).toBe('nodes-spr');
    expect(await readFile(join(machines, 'nodes.yaml'), 'utf8')).toContain('name: gcp-4567');
    expect((await enrol(await gcpOf())).status).toBe(403);
    expect(reasons()).toEqual(['enrolled-before']);
  });

  test.each<[string, object, object, string]>([
    ['for another site', { aud: 'https://evil.example' }, {}, 'unsigned-identity'],
    ['of another issuer', { iss: 'https://evil.example' }, {}, 'unsigned-identity'],
    ['that has expired', { exp: Math.floor(Date.now() / 1000) - 60 }, {}, 'unsigned-identity'],
    ['without its instance', { google: {} }, {}, 'unsigned-identity'],
    ['of another project', {}, { project_id: 'mallory' }, 'other-account-or-region'],
    ['of another zone', {}, { zone: 'us-east1-b' }, 'other-account-or-region'],
    ['of another name', {}, { instance_name: 'e2-node' }, 'no-machine-type'],
    ['that is old', { iat: Math.floor(Date.now() / 1000) - 7200 }, {}, 'old-identity'],
  ])('is refused with a token %s', async (_, change, instance, reason) => {
    const { enrol, gcpOf, reasons } = await site();
    expect((await enrol(await gcpOf(change, instance))).status).toBe(403);
    expect(reasons()).toEqual([reason]);
  });

  test('is refused with an unsigned token, or one with another signature', async () => {
    const { enrol, gcpClaims, reasons } = await site();
    const { privateKey } = await generateKeyPair('RS256');
    const forged = [
      new UnsecuredJWT(gcpClaims()).encode(),
      await new SignJWT(gcpClaims()).setProtectedHeader({ alg: 'RS256', kid: 'g' }).sign(privateKey),
      'no token',
    ];
    for (const gcp of forged) expect((await enrol({ gcp })).status).toBe(403);
    expect(new Set(reasons())).toEqual(new Set(['unsigned-identity']));
  });
});

test('an instance is refused by a site that configures no cloud', async () => {
  const { ask, log } = await serveSite({ 'a.yaml': `user: a\npassword: "${await hashed('a')}"\n` });
  const answer = await ask('/site/enrol', { method: 'POST', json: { gcp: 'x' } });
  expect(answer.status).toBe(403);
  expect(log.at(-1)?.fields['reason']).toBe('no-cloud-enrolment');
});
