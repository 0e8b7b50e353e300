import type { Repository } from '../oci/reference.ts';
import type { RequestOptions } from '../oci/registry.ts';
import { addHop } from '../oci/via.ts';
import type { Endpoint, UpstreamRequest } from './endpoint.ts';
import { fromNetworkError, isAbort, type ResourceRef } from './errors.ts';
import type { Failover } from './failover.ts';
import type { Reply } from './http/transport.ts';

export type ChainRequest = Pick<UpstreamRequest, 'method' | 'path'> &
  Partial<Pick<UpstreamRequest, 'query' | 'headers' | 'follow' | 'accepts' | 'isForBlob'>>;

/**
 * Asks a source host's endpoints in turn; `read` makes the answer of the first accepted reply, so that a broken body is the
 * next endpoint's chance too. `blame` has the endpoint that sent it asked last for a while.
 */
export type SendToChain = <Answer>(
  repository: Repository,
  subject: ResourceRef,
  asking: ChainRequest,
  options: RequestOptions,
  read: (reply: Reply, blame: () => void) => Promise<Answer> | Answer,
) => Promise<Answer>;

/** @param pseudonym this mirror's name in `Via` */
export function createChainClient(chain: Failover<Endpoint>, pseudonym: string): SendToChain {
  return (repository, subject, asking, options, read) => {
    const via = addHop(options.via, pseudonym);
    const question: UpstreamRequest = { accepts: [200], ...asking, subject, options, via };
    return chain.tryInOrder(async (endpoint) => {
      const reply = await endpoint.ask(repository, question);
      try {
        return await read(reply, () => chain.markUnhealthy(endpoint));
      } catch (error) {
        if (isAbort(error) || options.signal?.aborted) throw error;
        throw fromNetworkError(error, endpoint.host);
      }
    });
  };
}
