import { RegistryError } from '../oci/registry-error.ts';
import { isOutage } from './errors.ts';

/** Members of a chain, asked in order until one answers. */
export interface Failover<Member> {
  /**
   * The first answer of a member. Members that lately failed to answer at all come last, and are left out once the last
   * configured one, the authority, has said its no.
   * @throws the error of the most authoritative member asked; at once what is no RegistryError (the client has left).
   */
  tryInOrder<Answer>(ask: (member: Member) => Promise<Answer>): Promise<Answer>;
  /** Has this member asked last for a while: it answered, and the answer turned out bad. */
  markUnhealthy(member: Member): void;
}

/**
 * For how long a member that failed to answer is asked only after the others, in milliseconds: doubled by each failure in a
 * row, as finding out that one is still down may take as long as a client is kept waiting.
 */
const AVOID_MS = 15_000;
const AVOID_MAX_MS = 120_000;

/** @param now monotonic milliseconds */
export function createFailover<Member>(members: readonly Member[], now: () => number): Failover<Member> {
  const avoidUntil = members.map(() => Number.NEGATIVE_INFINITY);
  const failures = members.map(() => 0);
  const authority = members.length - 1;

  function avoid(position: number): void {
    // Requests that were under way together fail together: that is one failure.
    if ((avoidUntil[position] ?? 0) > now()) return;
    avoidUntil[position] = now() + Math.min(AVOID_MS * 2 ** (failures[position] ?? 0), AVOID_MAX_MS);
    failures[position] = (failures[position] ?? 0) + 1;
  }

  function order(): readonly number[] {
    const time = now();
    const positions = [...members.keys()];
    const isAvoided = (position: number) => (avoidUntil[position] ?? 0) > time;
    return [...positions.filter((p) => !isAvoided(p)), ...positions.filter(isAvoided)];
  }

  return {
    markUnhealthy: (member) => {
      const position = members.indexOf(member);
      if (position >= 0) avoid(position);
    },
    tryInOrder: async (ask) => {
      let best: { position: number; error: RegistryError } | undefined;
      for (const position of order()) {
        try {
          const answer = await ask(members[position] as (typeof members)[number]);
          failures[position] = 0;
          return answer;
        } catch (error) {
          if (!(error instanceof RegistryError)) throw error;
          if (best === undefined || position > best.position) best = { position, error };
          if (isOutage(error)) avoid(position);
          else if (position === authority) break;
        }
      }
      throw best?.error ?? new RegistryError('UNAVAILABLE', 'no endpoint is configured');
    },
  };
}
