import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { awsIdentity, azureIdentity, gcpIdentity } from '../../src/cli/commands/login/metadata-service.ts';
import type { AzureAnswer } from '../../src/site/enrolment/azure-nonce.ts';
import { createCloudCheck } from '../../src/site/enrolment/cloud-identity.ts';
import type { CloudRule, PresentedIdentity } from '../../src/site/enrolment/cloud-rules.ts';
import { type CloudKeys, createCloudKeys, writePublicKeys } from '../support/cloud-keys.ts';
import { temporaryFolder } from '../support/folder.ts';
import { type Handler, startServer } from '../support/hostile-registry.ts';
import { createMetadataService, INSTANCE } from '../support/metadata-service.ts';
import { afterTest, closing } from '../support/upstream.ts';

const ORIGIN = 'https://hub.example.org';
const ANSWER = { challenge: 'challenge', secret: 's'.repeat(43) };

let keys: CloudKeys;
beforeAll(async () => {
  keys = await createCloudKeys();
});
afterAll(() => keys?.openssl.remove());

/** The metadata services of the three clouds, on loopback. */
async function startMetadataService() {
  const { handler, remove } = await createMetadataService(INSTANCE, keys);
  afterTest(remove);
  return closing(await startServer(handler));
}

/** What a site makes of an identity. */
function verdictOn(presented: PresentedIdentity, audience = ORIGIN) {
  const files = writePublicKeys(temporaryFolder(), keys);
  const rule = (cloud: CloudRule['cloud'], owner: string): CloudRule => ({
    ...{ cloud, keys: files[cloud], accounts: [owner], regions: undefined, maxAge: 3600_000 },
    ...{ account: 'nodes', types: new Map([['*', cloud]]) },
  });
  const rules = [
    rule('aws', INSTANCE.aws.accountId),
    rule('azure', INSTANCE.azure.subscriptionId),
    rule('gcp', INSTANCE.gcp.project_id),
  ];
  const challengedMs = ({ challenge }: AzureAnswer) =>
    challenge === ANSWER.challenge ? Date.now() : undefined;
  return createCloudCheck(rules, { audience, challengedMs, wallClock: Date.now })(presented);
}

const known = (type: string, name: string) => ({ kind: 'known', machine: { account: 'nodes', type, name } });

test('AWS: the document comes by IMDSv2, with a session of a minute', async () => {
  const { url, requests } = await startMetadataService();
  const presented = await awsIdentity(url);
  expect(await verdictOn(presented)).toEqual(known('aws', `aws-${INSTANCE.aws.instanceId}`));
  expect(requests.map(({ method, target }) => `${method} ${target}`)).toEqual([
    'PUT /latest/api/token',
    'GET /latest/dynamic/instance-identity/document',
    'GET /latest/dynamic/instance-identity/signature',
  ]);
  expect(requests[0]?.headers['x-aws-ec2-metadata-token-ttl-seconds']).toBe('60');
});

test('Azure: the document’s nonce answers the challenge for this site', async () => {
  const { url } = await startMetadataService();
  const presented = await azureIdentity(ORIGIN, ANSWER, url);
  expect(await verdictOn(presented)).toEqual(known('azure', `azure-${INSTANCE.azure.vmId}`));
  expect(await verdictOn(presented, 'https://evil.example')).toMatchObject({ kind: 'refused' });
  const other = await azureIdentity(ORIGIN, { ...ANSWER, challenge: 'another' }, url);
  expect(await verdictOn(other)).toMatchObject({ kind: 'refused' });
});

test('GCP: the token is in full format and has this site as its audience', async () => {
  const { url } = await startMetadataService();
  const presented = await gcpIdentity(ORIGIN, url);
  expect(await verdictOn(presented)).toEqual(known('gcp', `gcp-${INSTANCE.gcp.instance_id}`));
  expect(await verdictOn(presented, 'https://evil.example')).toMatchObject({ kind: 'refused' });
});

describe('metahub login refuses as the cloud’s metadata service', () => {
  const askAll = (url: string) =>
    Promise.allSettled([awsIdentity(url), azureIdentity(ORIGIN, ANSWER, url), gcpIdentity(ORIGIN, url)]);

  test.each<[string, Handler]>([
    ['an answer that is no success', (_, response) => void response.writeHead(404).end('no')],
    ['a redirect', (_, response) => void response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()],
    ['an answer without end', (_, response) => void response.write('x'.repeat(20_000))],
    ['a connection that breaks', (request) => void request.socket.destroy()],
  ])('a server with %s', async (_, handler) => {
    const { url } = closing(await startServer(handler));
    const outcomes = await askAll(url);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
  });

  test('a server that answers everything with a page', async () => {
    const { url } = closing(await startServer((_, response) => void response.end('<html>')));
    const [, azure, gcp] = await askAll(url);
    expect([azure?.status, gcp?.status]).toEqual(['rejected', 'rejected']);
  });
});
