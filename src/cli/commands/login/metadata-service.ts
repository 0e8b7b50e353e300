import * as v from 'valibot';
import { type AzureAnswer, azureNonce } from '../../../site/enrolment/azure-nonce.ts';
import type { PresentedIdentity } from '../../../site/enrolment/cloud-rules.ts';

/** The address of the metadata service in every cloud. Only tests use another one. */
const METADATA_SERVICE = 'http://169.254.169.254';

const TIMEOUT_MS = 5_000;
const MAX_BYTES = 16_384;

interface MetadataRequest {
  readonly method?: 'GET' | 'PUT';
  readonly headers: Readonly<Record<string, string>>;
}

/** Sends the request without a proxy, as all clouds demand. @throws when there is no such service */
async function ask(url: string, { method = 'GET', headers }: MetadataRequest) {
  const signal = AbortSignal.timeout(TIMEOUT_MS);
  const answer = await fetch(url, { method, headers, redirect: 'error', signal }).catch((error: Error) => {
    // Only the `cause` of an error of fetch contains the reason.
    throw error.cause ?? error;
  });
  if (!answer.ok) throw new Error(`${url} answers ${answer.status}`);
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of answer.body ?? []) {
    sizeBytes += chunk.length;
    if (sizeBytes > MAX_BYTES) throw new Error(`${url} answers more than ${MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  return { text: Buffer.concat(chunks).toString('utf8'), headers: answer.headers };
}

/**
 * Fetches the identity document of an AWS instance and its signature, by IMDSv2.
 * @see https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/configuring-instance-metadata-service.html
 */
export async function awsIdentity(service = METADATA_SERVICE): Promise<PresentedIdentity> {
  const lifetime = { 'x-aws-ec2-metadata-token-ttl-seconds': '60' };
  const session = await ask(`${service}/latest/api/token`, { method: 'PUT', headers: lifetime });
  const read = async (name: string) => {
    const headers = { 'x-aws-ec2-metadata-token': session.text };
    return (await ask(`${service}/latest/dynamic/instance-identity/${name}`, { headers })).text;
  };
  return { aws: { document: await read('document'), signature: await read('signature') } };
}

const ATTESTED = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ encoding: v.literal('pkcs7'), signature: v.string() }),
);

/**
 * Fetches the attested document of an Azure VM. Its nonce answers the challenge of the site at this origin.
 * @see https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service#attested-data
 */
export async function azureIdentity(
  origin: string,
  answer: AzureAnswer,
  service = METADATA_SERVICE,
): Promise<PresentedIdentity> {
  const query = new URLSearchParams({ 'api-version': '2021-02-01', nonce: azureNonce(answer, origin) });
  const url = `${service}/metadata/attested/document?${query}`;
  const { success, output } = v.safeParse(ATTESTED, (await ask(url, { headers: { metadata: 'true' } })).text);
  if (!success) throw new Error(`${url} answers with no attested document`);
  return { azure: { document: output.signature, ...answer } };
}

/**
 * Fetches the identity token of a GCP instance for the site at this origin.
 * @see https://docs.cloud.google.com/compute/docs/instances/verifying-instance-identity
 */
export async function gcpIdentity(origin: string, service = METADATA_SERVICE): Promise<PresentedIdentity> {
  const query = new URLSearchParams({ audience: origin, format: 'full' });
  const url = `${service}/computeMetadata/v1/instance/service-accounts/default/identity?${query}`;
  const { text, headers } = await ask(url, { headers: { 'metadata-flavor': 'Google' } });
  if (headers.get('metadata-flavor') !== 'Google') throw new Error(`${url} is not Google’s`);
  return { gcp: text.trim() };
}
