import type { Repository } from '../oci/reference.ts';
import type { RequestOptions } from '../oci/registry.ts';
import { addHop } from '../oci/via.ts';
import type { Endpoint, UpstreamRequest } from './endpoint.ts';
import { fromNetworkError, isAbort, mayBeAboutHeaders, type ResourceRef } from './errors.ts';
import type { Failover } from './failover.ts';
import type { Reply } from './http/transport.ts';

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
