import { createHash, type Hash } from 'node:crypto';

declare const digestBrand: unique symbol;

/**
 * `algorithm:encoded`, lower-case hex, of a registered algorithm. Only {@link parseDigest} and {@link digestOf} make
 * one.
 */
export type Digest = string & { readonly [digestBrand]: true };

/**
 * Registered algorithms and the length of their hex encoding, in characters.
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md#registered-algorithms
 */
const ENCODED_LENGTH = { sha256: 64, sha512: 128 } as const;

export type DigestAlgorithm = keyof typeof ENCODED_LENGTH;

function isAlgorithm(text: string): text is DigestAlgorithm {
  return Object.hasOwn(ENCODED_LENGTH, text);
}

/** The digest that `text` spells; undefined when it is malformed or its algorithm is not registered. */
export function parseDigest(text: string): Digest | undefined {
  const colon = text.indexOf(':');
  const algorithm = text.slice(0, Math.max(colon, 0));
  if (!isAlgorithm(algorithm)) return undefined;
  const encoded = text.slice(colon + 1);
  return encoded.length === ENCODED_LENGTH[algorithm] && /^[0-9a-f]+$/.test(encoded)
    ? (text as Digest)
    : undefined;
}

/** The algorithm named in front of the colon. */
export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256';
}

/** The hex part behind the colon: safe as a file name. */
export function encodedOf(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1);
}

/** The digest of exactly these bytes. */
export function digestOf(bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}` as Digest;
}

/** An incremental hash of the digest's own algorithm; compare {@link finishDigest} with the digest when done. */
export function hashFor(digest: Digest): Hash {
  return createHash(algorithmOf(digest));
}

/** Ends `hash`, which must come from {@link hashFor} of a digest with this algorithm. */
export function finishDigest(hash: Hash, algorithm: DigestAlgorithm): Digest {
  return `${algorithm}:${hash.digest('hex')}` as Digest;
}
