import { verify } from 'node:crypto';
import * as v from 'valibot';
import { readJson } from '../responses.ts';
import type { CloudInstance } from './cloud-instance.ts';
import { certificatesIn } from './cloud-keys.ts';

/** @see https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-identity-documents.html */
const AWS_DOCUMENT = v.object({
  accountId: v.string(),
  instanceId: v.pipe(v.string(), v.regex(/^i-[0-9a-f]{8,32}$/)),
  instanceType: v.string(),
  region: v.string(),
  pendingTime: v.pipe(v.string(), v.isoTimestamp()),
});

/**
 * Verifies AWS's identity document with its public certificates. @returns undefined when none of them signed
 * it
 */
export function awsInstance(
  { document, signature }: { readonly document: string; readonly signature: string },
  keys: string,
): CloudInstance | undefined {
  const signed = Buffer.from(signature.replaceAll(/\s/g, ''), 'base64');
  const isSigned = certificatesIn(keys).some(
    ({ publicKey }) =>
      publicKey.asymmetricKeyType === 'rsa' && verify('sha256', Buffer.from(document), publicKey, signed),
  );
  if (!isSigned) return undefined;
  // The document is parsed only after its signature was verified.
  const written = readJson(document, AWS_DOCUMENT);
  if (written === undefined) return undefined;
  const { accountId: owner, instanceId: id, instanceType: kind, region, pendingTime } = written;
  return { cloud: 'aws', id, owner, region, kind, sinceMs: Date.parse(pendingTime) };
}
