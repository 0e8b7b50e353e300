import { createPrivateKey, randomBytes, sign } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { importPKCS8, SignJWT } from 'jose';
import { type AzureSigner, createAzureSigner, type SigningFiles } from './azure-signer.ts';
import { GOOGLE_KEY } from './cloud-keys.ts';

/** The clouds' data about the instance. */
export interface MetadataInstance {
  /** Fields of AWS's document. */
  readonly aws: object;
  /** The data that Azure signs, in addition to nonce and time. */
  readonly azure: object;
  /** The `compute_engine` claims of Google's token. */
  readonly gcp: object;
}

/** An instance in each cloud. Its launch time is always a moment ago. */
export const INSTANCE = {
  aws: {
    ...{ accountId: '123456789012', architecture: 'x86_64', availabilityZone: 'eu-central-1a' },
    ...{ billingProducts: null, imageId: 'ami-5fb8c835', instanceId: 'i-1234567890abcdef0' },
    ...{ instanceType: 'c7i.xlarge', region: 'eu-central-1', version: '2017-09-30' },
  },
  azure: {
    subscriptionId: '8d10da13-8125-4ba9-a717-bf7490507b3d',
    vmId: '02aab8a4-74ef-476e-8182-f6d2ba4166a6',
  },
  gcp: {
    ...{ project_id: 'lab-hpc', project_number: 1, zone: 'europe-west4-a' },
    ...{ instance_id: '4567', instance_name: 'c3-node-7' },
  },
} as const satisfies MetadataInstance;

type Answer = (request: IncomingMessage, response: ServerResponse, url: URL) => void | Promise<void>;

function refuse(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain' }).end(text);
}

/**
 * IMDSv2 only, as on instances that require tokens. @see
 * https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
 */
function answerAws(fields: object, key: string): Answer {
  const tokens = new Set<string>();
  const document = JSON.stringify({ ...fields, pendingTime: new Date().toISOString() }, undefined, 2);
  const signature = sign('sha256', Buffer.from(document), createPrivateKey(key)).toString('base64');
  const contents: Readonly<Record<string, string>> = {
    '/latest/dynamic/instance-identity/document': document,
    '/latest/dynamic/instance-identity/signature': signature.replace(/(.{64})/g, '$1\n'),
  };
  return ({ method, headers }, response, { pathname }) => {
    if (method === 'PUT' && pathname === '/latest/api/token') {
      const seconds = Number(headers['x-aws-ec2-metadata-token-ttl-seconds']);
      if (headers['x-forwarded-for'] !== undefined) return refuse(response, 403, 'Forbidden');
      if (!(seconds >= 1 && seconds <= 21_600)) return refuse(response, 400, 'Bad Request');
      const token = randomBytes(42).toString('base64');
      tokens.add(token);
      response.writeHead(200, { 'content-type': 'text/plain' }).end(token);
      return;
    }
    if (!tokens.has(String(headers['x-aws-ec2-metadata-token'])))
      return refuse(response, 401, 'Unauthorized');
    const content = contents[pathname];
    if (content === undefined) refuse(response, 404, 'Not Found');
    else response.writeHead(200, { 'content-type': 'text/plain' }).end(content);
  };
}

const pad = (part: number) => String(part).padStart(2, '0');

/** `04/19/22 01:27:21 -0000`. */
export function azureTime(ms: number): string {
  const at = new Date(ms);
  const day = [at.getUTCMonth() + 1, at.getUTCDate(), at.getUTCFullYear() % 100].map(pad).join('/');
  return `${day} ${[at.getUTCHours(), at.getUTCMinutes(), at.getUTCSeconds()].map(pad).join(':')} -0000`;
}

/** The content that Azure signs: the instance with a nonce, valid for six hours. */
export function azureContent(content: object, nonce: string, createdMs = Date.now()): string {
  const timeStamp = { createdOn: azureTime(createdMs), expiresOn: azureTime(createdMs + 6 * 3600_000) };
  return JSON.stringify({ licenseType: '', nonce, sku: '22_04-lts-gen2', timeStamp, ...content });
}

/** @see https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service#attested-data */
function answerAzure(fields: object, signer: SigningFiles, openssl: AzureSigner): Answer {
  return async ({ headers }, response, { pathname, searchParams }) => {
    const [version, nonce] = [searchParams.get('api-version'), searchParams.get('nonce')];
    if (headers['metadata'] !== 'true' || headers['x-forwarded-for'] !== undefined) {
      return refuse(response, 400, '{"error":"Bad request. Required metadata header not specified"}');
    }
    if (version !== '2021-02-01' || !/^\d{10}$/.test(nonce ?? ''))
      return refuse(response, 400, 'Bad request');
    if (pathname !== '/metadata/attested/document') return refuse(response, 404, 'Not found');
    const signature = await openssl.sign(azureContent(fields, nonce ?? ''), signer);
    response
      .writeHead(200, { 'content-type': 'application/json; charset=utf-8' })
      .end(JSON.stringify({ encoding: 'pkcs7', signature }));
  };
}

/** @see https://docs.cloud.google.com/compute/docs/instances/verifying-instance-identity */
function answerGcp(instance: object, key: string): Answer {
  return async ({ headers }, response, { pathname, searchParams }) => {
    const audience = searchParams.get('audience');
    if (headers['metadata-flavor'] !== 'Google' || headers['x-forwarded-for'] !== undefined) {
      return refuse(response, 403, 'Forbidden');
    }
    if (pathname !== '/computeMetadata/v1/instance/service-accounts/default/identity') {
      return refuse(response, 404, 'Not Found');
    }
    if (audience === null || audience === '')
      return refuse(response, 400, 'non-empty audience parameter required');
    const google = searchParams.get('format') === 'full' ? { google: { compute_engine: instance } } : {};
    const token = await new SignJWT({ azp: '1', email: 'node@developer.gserviceaccount.com', ...google })
      .setProtectedHeader({ alg: 'RS256', kid: GOOGLE_KEY, typ: 'JWT' })
      .setIssuer('https://accounts.google.com')
      .setAudience(audience)
      .setSubject('1')
      .setIssuedAt()
      .setExpirationTime('1h')
      .sign(await importPKCS8(key, 'RS256'));
    response
      .writeHead(200, {
        'content-type': 'text/html',
        'metadata-flavor': 'Google',
        server: 'Metadata Server for VM',
      })
      .end(token);
  };
}

/** The signing keys of the services: parts of `CloudKeys`. */
export interface MetadataKeys {
  readonly aws: { readonly key: string };
  readonly azure: { readonly signer: SigningFiles };
  readonly gcp: string;
}

/** The metadata services of three clouds at one address, each as strict as its vendor's documentation. */
export async function createMetadataService(instance: MetadataInstance, keys: MetadataKeys) {
  const openssl = await createAzureSigner();
  const aws = answerAws(instance.aws, keys.aws.key);
  const azure = answerAzure(instance.azure, keys.azure.signer, openssl);
  const gcp = answerGcp(instance.gcp, keys.gcp);
  const handler = (request: IncomingMessage, response: ServerResponse): void => {
    const url = new URL(request.url ?? '/', 'http://metadata');
    const [, service] = url.pathname.split('/');
    const answer = service === 'latest' ? aws : service === 'metadata' ? azure : gcp;
    void Promise.resolve(answer(request, response, url)).catch((error: Error) =>
      refuse(response, 500, error.message),
    );
  };
  return { handler, remove: openssl.remove };
}
