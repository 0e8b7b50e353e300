import { addressClass } from '../../lib/address.ts';
import { createSealer } from '../../lib/seal.ts';
import { type AzureAnswer, commitmentTo } from './azure-nonce.ts';

/** How long a machine may take to answer. */
export const CHALLENGE_MS = 60_000;
/** Challenges per {@link CHALLENGE_MS}: each is one more of ten digits that a relayed document could fit by chance. */
const ALL_MAX = 100_000;
const ADDRESS_MAX = 1_000;

/** Makes challenges that are new each time, and knows them again without storing any. */
export interface Challenges {
  /** Undefined: this address, or all of them together, have had as many as may be for now. */
  create(commitment: string, address: string): string | undefined;
  /** When a replica of this site made it, for a commitment to this secret; undefined: none did, or too long ago. */
  sinceMs(answer: AzureAnswer): number | undefined;
}

/** @param tokenKey all replicas have the same */
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
