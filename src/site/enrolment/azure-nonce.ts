import { createHash, randomBytes } from 'node:crypto';

const DIGITS = 10;
const SECRET_BYTES = 32;

/** What a VM answers a challenge with; it keeps the secret to itself until Azure has signed the nonce. */
export interface AzureAnswer {
  /** See {@link createAzureSecret}. */
  readonly secret: string;
  /** What the site gave the VM for the commitment to this secret. */
  readonly challenge: string;
}

/** Base64url of 32 bytes. */
export const AZURE_SECRET = /^[\w-]{43}$/;

/** The secret of one enrolment. */
export const createAzureSecret = (): string => randomBytes(SECRET_BYTES).toString('base64url');

/** What the VM tells the site before it learns the challenge: the site cannot make a challenge that fits the secret. */
export function commitmentTo(secret: string): string {
  return createHash('sha256').update(`metahub azure enrolment\n${secret}`).digest('base64url');
}

/**
 * The nonce of an attested document, for the site at this origin alone. Azure signs ten digits: too few to find no second
 * challenge by trying. So neither side may try: the VM commits to its secret before it sees the challenge, and the site
 * makes the challenge before it sees the secret. What one of them chooses last is random for the other.
 * @see https://learn.microsoft.com/azure/virtual-machines/instance-metadata-service#attested-data
 * @see https://www.rfc-editor.org/rfc/rfc6189#section-4.4.1.1 the same for the short strings of ZRTP
 */
export function azureNonce({ secret, challenge }: AzureAnswer, origin: string): string {
  const hash = createHash('sha256').update(`${secret}\n${challenge}\n${origin}`).digest();
  return String(hash.readBigUInt64BE() % 10n ** BigInt(DIGITS)).padStart(DIGITS, '0');
}
