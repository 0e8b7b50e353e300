import { verify, X509Certificate } from 'node:crypto';
import { rootCertificates } from 'node:tls';
import * as v from 'valibot';
import { readJson } from '../responses.ts';
import { type AzureAnswer, azureNonce } from './azure-nonce.ts';
import { type Authorities, isTrusted } from './certificate-chain.ts';
import { CLOCK_TOLERANCE_MS, type CloudInstance, type IdentityContext } from './cloud-instance.ts';
import { certificatesIn } from './cloud-keys.ts';
import { readSignedMessage, type SignedMessage } from './signed-message.ts';

/** What an Azure VM presents. */
export interface AzurePresented extends AzureAnswer {
  /** Base64 of the attested document. */
  readonly document: string;
}

export interface AzureContext extends IdentityContext {
  /** Returns when this site made the challenge for this secret; undefined: it did not, or too long ago. */
  readonly challengedMs: (answer: AzureAnswer) => number | undefined;
}

const ID = v.pipe(v.string(), v.regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i), v.toLowerCase());
/** `04/19/22 01:27:21 -0000`: month, day, year, in UTC. */
const TIME = /^(\d\d)\/(\d\d)\/(\d\d) (\d\d):(\d\d):(\d\d) -0000$/;
const Time = v.pipe(
  v.string(),
  v.regex(TIME),
  v.transform((written) => {
    const [, month, day, year, hour, minute, second] = TIME.exec(written) ?? [];
    return Date.parse(`20${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  }),
  v.number(),
);

/** @see https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service#attested-data */
const AZURE_DOCUMENT = v.object({
  nonce: v.string(),
  subscriptionId: ID,
  timeStamp: v.object({ createdOn: Time, expiresOn: Time }),
  vmId: ID,
});

/**
 * The domains of Azure's public and sovereign clouds. The certificate of a region has the region as a
 * subdomain.
 */
const SIGNER = /^DNS:(?:([a-z0-9]+)\.)?metadata\.(?:azure\.(?:com|us|cn)|microsoftazure\.de)$/;

/** Returns the regions in a certificate of Azure's metadata service; undefined for any other certificate. */
function regionsOf({ subjectAltName }: X509Certificate): readonly string[] | undefined {
  // Node.js quotes a name that contains a comma, because it would look like several names.
  if (subjectAltName === undefined || subjectAltName.includes('"')) return undefined;
  const names = subjectAltName.split(', ').flatMap((name) => SIGNER.exec(name) ?? []);
  return names.length === 0
    ? undefined
    : names.filter((name) => name !== undefined && !name.startsWith('DNS:'));
}

let publicRoots: readonly X509Certificate[] | undefined;

/**
 * Returns the self-signed certificates of the file as roots. A file without any relies on the roots of
 * Node.js.
 */
function authoritiesOf(keys: string, message: SignedMessage): Authorities {
  const given = certificatesIn(keys);
  const roots = given.filter((one) => one.checkIssued(one));
  publicRoots ??= rootCertificates.map((pem) => new X509Certificate(pem));
  return {
    roots: roots.length > 0 ? roots : publicRoots,
    intermediates: [...given, ...message.certificates],
  };
}

/**
 * Verifies an attested document of Azure's metadata service: its signature, the chain and name of its
 * certificate, its nonce and its time.
 * @param keys the certificates of the authorities that issue Azure's certificates, in PEM
 * @returns undefined when any of these is wrong
 */
export function azureInstance(
  { document, ...answer }: AzurePresented,
  keys: string,
  { audience, nowMs, challengedMs }: AzureContext,
): CloudInstance | undefined {
  const askedMs = challengedMs(answer);
  if (askedMs === undefined) return undefined;
  const message = readSignedMessage(Buffer.from(document, 'base64'));
  if (message === undefined) return undefined;
  const { content, signature, digest } = message;
  const signer = message.certificates.find(({ publicKey }) => {
    const isUsable = publicKey.asymmetricKeyType === 'rsa' || publicKey.asymmetricKeyType === 'ec';
    return isUsable && verify(digest, content, publicKey, signature);
  });
  const regions = signer && regionsOf(signer);
  if (!signer || !regions || !isTrusted(signer, authoritiesOf(keys, message), nowMs)) return undefined;
  const written = readJson(content.toString(), AZURE_DOCUMENT);
  if (written === undefined) return undefined;
  const { nonce, subscriptionId: owner, vmId: id, timeStamp } = written;
  const { createdOn: sinceMs, expiresOn } = timeStamp;
  const isCurrent = sinceMs - CLOCK_TOLERANCE_MS <= nowMs && nowMs <= expiresOn + CLOCK_TOLERANCE_MS;
  // A document must be newer than its challenge. Otherwise whoever holds an old document could request
  // challenges until one matches its nonce.
  const isOlder = sinceMs + CLOCK_TOLERANCE_MS < askedMs;
  if (!isCurrent || isOlder || nonce !== azureNonce(answer, audience)) return undefined;
  return { cloud: 'azure', id, owner, region: regions[0] ?? '', kind: id, sinceMs };
}
