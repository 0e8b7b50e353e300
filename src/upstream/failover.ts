import type { Repository } from '../oci/reference.ts';
import type { RequestOptions } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { addHop } from '../oci/via.ts';
import type { Endpoint, UpstreamRequest } from './endpoint.ts';
import { fromNetworkError, isAbort, isOutage, mayBeAboutHeaders, type ResourceRef } from './errors.ts';
import type { Reply } from './http/transport.ts';

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

export type ChainRequest = Pick<UpstreamRequest, 'method' | 'path'> &
  Partial<Pick<UpstreamRequest, 'query' | 'headers' | 'follow' | 'accepts' | 'isForBlob'>>;

/** One endpoint of a chain, to be asked as often as one answer takes. */
export interface ChainMember {
  /** @throws {RegistryError} when the answer is none that the request accepts: a 200, where it does not say */
  readonly send: (request: ChainRequest) => Promise<Reply>;
  /** What it sent turned out bad: it is asked last for a while. */
  readonly reportBad: () => void;
}

/** Asks a source host's endpoints in turn. */
export interface ChainClient {
  /** The answer that `ask` makes of the first endpoint with which it succeeds. */
  askEach<Answer>(
    repository: Repository,
    subject: ResourceRef,
    options: RequestOptions,
    ask: (member: ChainMember) => Promise<Answer>,
  ): Promise<Answer>;
  /** One request; `read` makes the answer of an accepted reply, so that a broken body is the next endpoint's chance too. */
  ask<Answer>(
    repository: Repository,
    subject: ResourceRef,
    request: ChainRequest,
    options: RequestOptions,
    read: (reply: Reply, reportBad: () => void) => Promise<Answer> | Answer,
  ): Promise<Answer>;
}

/** @param pseudonym this mirror's name in `Via` */
export function createChainClient(chain: Failover<Endpoint>, pseudonym: string): ChainClient {
  const askEach: ChainClient['askEach'] = (repository, subject, options, ask) => {
    return chain.tryInOrder(async (endpoint) => {
      const sendBy = (request: ChainRequest, via: string | undefined) =>
        endpoint.ask(repository, {
          ...{ accepts: [200], ...request, subject, options },
          via: addHop(via, pseudonym),
        });
      // What a client writes into its Via must not change what others get: a gateway that objects to it is asked again
      // without. This mirror's own hop stays, so that a loop still ends.
      const send = async (request: ChainRequest) => {
        try {
          return await sendBy(request, options.via);
        } catch (error) {
          if (options.via === undefined || options.signal?.aborted || !mayBeAboutHeaders(error)) throw error;
          return sendBy(request, undefined);
        }
      };
      try {
        return await ask({ send, reportBad: () => chain.markUnhealthy(endpoint) });
      } catch (error) {
        if (isAbort(error) || options.signal?.aborted) throw error;
        throw fromNetworkError(error, endpoint.host);
      }
    });
  };
  return {
    askEach,
    ask: (repository, subject, request, options, read) =>
      askEach(repository, subject, options, async ({ send, reportBad }) =>
        read(await send(request), reportBad),
      ),
  };
}
