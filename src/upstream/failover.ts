import { addHop } from '../lib/http.ts';
import type { Repository } from '../oci/reference.ts';
import type { RequestOptions } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { Endpoint, UpstreamRequest } from './endpoint.ts';
import { fromNetworkError, isAbort, isOutage, mayBeAboutHeaders, type ResourceRef } from './errors.ts';
import type { Reply } from './http/transport.ts';

/** Tries the members of a chain in order until one succeeds. */
export interface Failover<Member> {
  /**
   * Resolves with the first success. Members that failed recently are tried last. The last configured member is
   * the authority: after it has refused, members that failed recently are not tried.
   * @throws the error of the last configured one of the tried members; immediately any error that is not a
   * RegistryError
   */
  tryInOrder<Answer>(ask: (member: Member) => Promise<Answer>): Promise<Answer>;
  /** Makes this member the last to be tried for a while, because its answer turned out to be bad. */
  markUnhealthy(member: Member): void;
}

/**
 * How long a failed member is tried last, in milliseconds. Doubled by each consecutive failure: another try of
 * a dead member can take as long as a client waits.
 */
const AVOID_MS = 15_000;
const AVOID_MAX_MS = 120_000;

/** @param now monotonic milliseconds */
export function createFailover<Member>(members: readonly Member[], now: () => number): Failover<Member> {
  const avoidUntil = members.map(() => Number.NEGATIVE_INFINITY);
  const failures = members.map(() => 0);
  const authority = members.length - 1;

  function avoid(position: number): void {
    // Concurrent requests fail together and count as one failure.
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

/** One endpoint of a chain. Several requests may be sent to it for one answer. */
export interface ChainMember {
  /** @throws {RegistryError} when the request does not accept the reply's status (by default only 200) */
  readonly send: (request: ChainRequest) => Promise<Reply>;
  /** Reports that its answer turned out to be bad, so that it is tried last for a while. */
  readonly reportBad: () => void;
}

/** Tries the endpoints of a source host in turn. */
export interface ChainClient {
  /** Calls `ask` for one endpoint after another. Resolves with the first success. */
  askEach<Answer>(
    repository: Repository,
    subject: ResourceRef,
    options: RequestOptions,
    ask: (member: ChainMember) => Promise<Answer>,
  ): Promise<Answer>;
  /**
   * Sends one request. `read` turns an accepted reply into the answer; when it fails, the next endpoint is
   * tried too.
   */
  ask<Answer>(
    repository: Repository,
    subject: ResourceRef,
    request: ChainRequest,
    options: RequestOptions,
    read: (reply: Reply, reportBad: () => void) => Promise<Answer> | Answer,
  ): Promise<Answer>;
}

/** @param pseudonym this mirror's name in the `Via` header */
export function createChainClient(chain: Failover<Endpoint>, pseudonym: string): ChainClient {
  const askEach: ChainClient['askEach'] = (repository, subject, options, ask) => {
    return chain.tryInOrder(async (endpoint) => {
      const sendBy = (request: ChainRequest, via: string | undefined) =>
        endpoint.ask(repository, {
          ...{ accepts: [200], ...request, subject, options },
          via: addHop(via, pseudonym),
        });
      // A client's Via must not change what it gets: if a gateway objects to it, the request is repeated
      // without it. The mirror's own entry stays, so that a loop is still detected.
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
