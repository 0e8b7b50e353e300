import { addHop } from '../lib/http.ts';
import type { Repository } from '../oci/reference.ts';
import type { RequestOptions } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { Endpoint, UpstreamRequest } from './endpoint.ts';
import { fromNetworkError, isAbort, isOutage, mayBeAboutHeaders, type ResourceRef } from './errors.ts';
import type { Reply } from './http/transport.ts';

/** Members of a chain, tried in order until one answers. */
export interface Failover<Member> {
  /**
   * The first answer of a member. Members that recently failed to answer come last. The last configured member is the
   * authority: once it has refused, no member that failed is asked.
   * @throws the error of the most authoritative member that was asked; immediately any error that is not a
   * RegistryError (the client has left)
   */
  tryInOrder<Answer>(ask: (member: Member) => Promise<Answer>): Promise<Answer>;
  /** Makes this member the last to be tried for a while: its answer turned out to be bad. */
  markUnhealthy(member: Member): void;
}

/**
 * For how long a member that failed to answer comes after the others, in milliseconds: doubled by each failure in a
 * row, since finding out that one is still down can take as long as a client waits.
 */
const AVOID_MS = 15_000;
const AVOID_MAX_MS = 120_000;

/** @param now monotonic milliseconds */
export function createFailover<Member>(members: readonly Member[], now: () => number): Failover<Member> {
  const avoidUntil = members.map(() => Number.NEGATIVE_INFINITY);
  const failures = members.map(() => 0);
  const authority = members.length - 1;

  function avoid(position: number): void {
    // Concurrent requests fail together: that counts as one failure.
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

/** One endpoint of a chain; it may be asked several times for one answer. */
export interface ChainMember {
  /** @throws {RegistryError} when the request does not accept the answer (by default anything but 200) */
  readonly send: (request: ChainRequest) => Promise<Reply>;
  /** Reports that its answer turned out to be bad: it is tried last for a while. */
  readonly reportBad: () => void;
}

/** Tries a source host's endpoints in turn. */
export interface ChainClient {
  /** The answer that `ask` gets from the first endpoint with which it succeeds. */
  askEach<Answer>(
    repository: Repository,
    subject: ResourceRef,
    options: RequestOptions,
    ask: (member: ChainMember) => Promise<Answer>,
  ): Promise<Answer>;
  /**
   * One request; `read` turns an accepted reply into the answer, so that a broken body also leads to the next endpoint.
   */
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
      // The content of a client's Via must not change what others get: when a gateway objects to it, the request is
      // repeated without it. This mirror's own hop stays, so that a loop still ends.
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
