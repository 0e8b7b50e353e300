import { createHash, type Hash } from 'node:crypto';

declare const digestBrand: unique symbol;

/**
 * `algorithm:encoded` in lower-case hex, with a registered algorithm. Made by {@link parseDigest} and {@link
 * digestOf}.
 */
export type Digest = string & { readonly [digestBrand]: true };

/**
 * The registered algorithms, with the length of their encoding in characters.
 * @see https://github.com/opencontainers/image-spec/blob/v1.1.1/descriptor.md#registered-algorithms
 */
const ENCODED_LENGTH = { sha256: 64, sha512: 128 } as const;

export type DigestAlgorithm = keyof typeof ENCODED_LENGTH;

function isAlgorithm(text: string): text is DigestAlgorithm {
  return Object.hasOwn(ENCODED_LENGTH, text);
}

/** Parses a digest. Undefined when it is malformed or its algorithm is not registered. */
export function parseDigest(text: string): Digest | undefined {
  const colon = text.indexOf(':');
  const algorithm = text.slice(0, Math.max(colon, 0));
  if (!isAlgorithm(algorithm)) return undefined;
  const encoded = text.slice(colon + 1);
  return encoded.length === ENCODED_LENGTH[algorithm] && /^[0-9a-f]+$/.test(encoded)
    ? (text as Digest)
    : undefined;
}

/** The algorithm of a digest. */
export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256';
}

/** The hex part of a digest. It is safe as a file name. */
export function encodedOf(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1);
}

/** The digest of these bytes. */
export function digestOf(bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}` as Digest;
}

/** An incremental hash with the digest's algorithm. Compare {@link finishDigest} with the digest at the end. */
export function hashFor(digest: Digest): Hash {
  return createHash(algorithmOf(digest));
}

/** Finishes a hash from {@link hashFor}, of a digest with this algorithm. */
export function finishDigest(hash: Hash, algorithm: DigestAlgorithm): Digest {
  return `${algorithm}:${hash.digest('hex')}` as Digest;
}
