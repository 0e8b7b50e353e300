import { createHash, randomBytes } from 'node:crypto';

const DIGITS = 10;
const SECRET_BYTES = 32;

/** A VM's answer to a challenge. The VM keeps the secret to itself until Azure has signed the nonce. */
export interface AzureAnswer {
  /** See {@link createAzureSecret}. */
  readonly secret: string;
  /** The challenge that the site returned for the commitment to this secret. */
  readonly challenge: string;
}

/** Base64url of 32 bytes. */
export const AZURE_SECRET = /^[\w-]{43}$/;

/** The secret of one enrolment. */
export const createAzureSecret = (): string => randomBytes(SECRET_BYTES).toString('base64url');

/**
 * Computes the commitment that the VM sends before it learns the challenge, so that the site cannot choose a
 * challenge to match the secret.
 */
export function commitmentTo(secret: string): string {
  return createHash('sha256').update(`metahub azure enrolment\n${secret}`).digest('base64url');
}

/**
 * Computes the nonce of an attested document, which is valid only for the site at this origin. Azure signs
 * ten digits, so few that trying finds a second challenge with the same nonce. Therefore neither side may
 * choose last: the VM commits to its secret before it sees the challenge, and the site makes the challenge
 * before it sees the secret. To each side, the part of the other is random.
 * @see https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service#attested-data
 * @see https://www.rfc-editor.org/rfc/rfc6189#section-4.4.1.1 the same method for the short authentication
 * strings of ZRTP
 */
export function azureNonce({ secret, challenge }: AzureAnswer, origin: string): string {
  const hash = createHash('sha256').update(`${secret}\n${challenge}\n${origin}`).digest();
  return String(hash.readBigUInt64BE() % 10n ** BigInt(DIGITS)).padStart(DIGITS, '0');
}
