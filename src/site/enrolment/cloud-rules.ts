import * as v from 'valibot';
import { parseDuration } from '../../lib/duration.ts';
import { choice, fields, mapOf, reading, shown, Text } from '../../lib/schema.ts';
import { NAME } from '../account.ts';
import { AZURE_SECRET } from './azure-nonce.ts';

const Name = v.pipe(
  v.string(),
  v.regex(NAME, ({ input }) => `${shown(input)} is not a name`),
);
const Names = v.pipe(v.array(Text), v.minLength(1, 'a name is expected'));

/** Parses the maximum age of an enrolling instance: a whole number of minutes, hours or days. */
function readMaxAge(written: string): number | undefined {
  return /^\d{1,4}[mhd]$/.test(written) ? parseDuration(written) : undefined;
}

/** Maps instances of a cloud to an account and its machine types. */
export const CloudEnrolment = fields({
  cloud: choice('aws', 'azure', 'gcp'),
  /** Path of public keys: RSA certificates (aws) or certificates of authorities (azure) in PEM, a JWKS (gcp). */
  keys: Text,
  /** AWS account numbers, Azure subscriptions, or names of GCP projects. */
  accounts: Names,
  /** Absent: all regions. */
  regions: v.optional(Names),
  /** Maximum age of the identity: since the launch (aws), or since the issue of the document (azure) or token (gcp). */
  maxAge: v.optional(
    v.pipe(
      v.string(),
      reading(readMaxAge, (text) => `${shown(text)} is not a time: write 30m, 1h or 2d`),
    ),
    '1h',
  ),
  account: Name,
  /** Pattern of instance type (aws), VM ID (azure) or instance name (gcp) -> machine type; the first match counts. */
  types: mapOf(Text, Name),
});

export type CloudRule = v.InferOutput<typeof CloudEnrolment>;

/**
 * The identity that an instance presents. AWS: the identity document with its base64 signature. Azure: the
 * attested document in base64, with the challenge and the secret of its nonce. GCP: the identity token.
 */
export const PRESENTED_IDENTITY = v.union([
  v.object({ aws: v.object({ document: v.string(), signature: v.string() }) }),
  v.object({
    azure: v.object({
      document: v.string(),
      challenge: v.string(),
      secret: v.pipe(v.string(), v.regex(AZURE_SECRET)),
    }),
  }),
  v.object({ gcp: v.string() }),
]);
export type PresentedIdentity = v.InferOutput<typeof PRESENTED_IDENTITY>;
