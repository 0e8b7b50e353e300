import { verify, X509Certificate } from 'node:crypto';
import { rootCertificates } from 'node:tls';
import * as v from 'valibot';
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
  /** When this site made the challenge for this secret; undefined: it did not, or too long ago. */
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

/** The domains of Azure's public cloud and its sovereign clouds; a certificate for a region has it as a subdomain. */
const SIGNER = /^DNS:(?:([a-z0-9]+)\.)?metadata\.(?:azure\.(?:com|us|cn)|microsoftazure\.de)$/;

/** The regions that a certificate of Azure's metadata service names; undefined for any other certificate. */
function regionsOf({ subjectAltName = '' }: X509Certificate): readonly string[] | undefined {
  // Node.js quotes names that contain a comma, which could pass for several.
  if (subjectAltName.includes('"')) return undefined;
  const names = subjectAltName.split(', ').flatMap((name) => SIGNER.exec(name) ?? []);
  return names.length === 0
    ? undefined
    : names.filter((name) => name !== undefined && !name.startsWith('DNS:'));
}

let publicRoots: readonly X509Certificate[] | undefined;

/** The file's certificates that sign themselves are the roots; in a file without any, Node.js's list is. */
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
 * Verifies an attested document of Azure's metadata service: signature, chain and name of the certificate, nonce and time.
 * @param keys the authorities that issue Azure's certificates, in PEM
 * @returns undefined when anything of it is wrong
 */
export function azureInstance(
  { document, ...answer }: AzurePresented,
  keys: string,
  { audience, nowMs, challengedMs }: AzureContext,
): CloudInstance | undefined {
  const askedMs = challengedMs(answer);
  const message = askedMs === undefined ? undefined : readSignedMessage(Buffer.from(document, 'base64'));
  if (message === undefined || askedMs === undefined) return undefined;
  const { content, signature, digest } = message;
  const signer = message.certificates.find(({ publicKey }) => {
    const isUsable = publicKey.asymmetricKeyType === 'rsa' || publicKey.asymmetricKeyType === 'ec';
    return isUsable && verify(digest, content, publicKey, signature);
  });
  const regions = signer && regionsOf(signer);
  if (!signer || !regions || !isTrusted(signer, authoritiesOf(keys, message), nowMs)) return undefined;
  const { success, output } = v.safeParse(
    v.pipe(v.string(), v.parseJson(), AZURE_DOCUMENT),
    content.toString(),
  );
  if (!success) return undefined;
  const { nonce, subscriptionId: owner, vmId: id, timeStamp } = output;
  const { createdOn: sinceMs, expiresOn } = timeStamp;
  const isCurrent = sinceMs - CLOCK_TOLERANCE_MS <= nowMs && nowMs <= expiresOn + CLOCK_TOLERANCE_MS;
  // Whoever holds a document must not ask for challenges until one fits.
  const isOlder = sinceMs + CLOCK_TOLERANCE_MS < askedMs;
  if (!isCurrent || isOlder || nonce !== azureNonce(answer, audience)) return undefined;
  return { cloud: 'azure', id, owner, region: regions[0] ?? '', kind: id, sinceMs };
}
