import { addressClass } from '../../lib/address.ts';
import { createSealer } from '../../lib/seal.ts';
import { type AzureAnswer, commitmentTo } from './azure-nonce.ts';

/** How long a machine may take to answer a challenge, in milliseconds. */
export const CHALLENGE_MS = 60_000;
/**
 * Maximum number of challenges in {@link CHALLENGE_MS}. Each is one more chance for a relayed document to
 * match a nonce, which has only ten digits.
 */
const ALL_MAX = 100_000;
const ADDRESS_MAX = 1_000;

/** Creates challenges and recognizes them later. Stores none of them: the sealed challenge contains its time. */
export interface Challenges {
  /** Returns a challenge; undefined when this address, or all addresses together, have reached the limit. */
  create(commitment: string, address: string): string | undefined;
  /**
   * Returns when a replica of this site made the challenge for a commitment to this secret; undefined: none
   * did, or too long ago.
   */
  sinceMs(answer: AzureAnswer): number | undefined;
}

/** @param tokenKey the same at all replicas */
export function createChallenges(tokenKey: Uint8Array, wallClock: () => number): Challenges {
  const sealer = createSealer('metahub enrolment challenges', tokenKey);
  const counts = new Map<string, number>();
  let window = 0;
  let made = 0;
  return {
    create(commitment, address) {
      const current = Math.floor(wallClock() / CHALLENGE_MS);
      if (current !== window) {
        window = current;
        made = 0;
        counts.clear();
      }
      const key = addressClass(address);
      const count = counts.get(key) ?? 0;
      if (made >= ALL_MAX || count >= ADDRESS_MAX) return undefined;
      made += 1;
      counts.set(key, count + 1);
      return sealer.seal(String(wallClock()), commitment);
    },
    sinceMs({ challenge, secret }) {
      const sinceMs = Number(sealer.open(challenge, commitmentTo(secret)));
      return Math.abs(wallClock() - sinceMs) <= CHALLENGE_MS ? sinceMs : undefined;
    },
  };
}
