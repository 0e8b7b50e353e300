import type { Repository } from '../oci/reference.ts';
import type { RequestOptions } from '../oci/registry.ts';
import { addHop } from '../oci/via.ts';
import type { Chain } from './chain.ts';
import type { Endpoint, Question } from './endpoint.ts';
import { fromNetwork, isAbort, type Subject } from './failure.ts';
import type { Reply } from './transport.ts';

export type Asking = Pick<Question, 'method' | 'path'> &
  Partial<Pick<Question, 'query' | 'headers' | 'follow' | 'accepts' | 'isForBlob'>>;

/**
 * Asks a source host's endpoints in turn; `read` makes the answer of the first accepted reply, so that a broken body is the
 * next endpoint's chance too. `blame` has the endpoint that sent it asked last for a while.
 */
export type AskChain = <Answer>(
  repository: Repository,
  subject: Subject,
  asking: Asking,
  options: RequestOptions,
  read: (reply: Reply, blame: () => void) => Promise<Answer> | Answer,
) => Promise<Answer>;

/** @param pseudonym this mirror's name in `Via` */
export function createAsk(chain: Chain<Endpoint>, pseudonym: string): AskChain {
  return (repository, subject, asking, options, read) => {
    const via = addHop(options.via, pseudonym);
    const question: Question = { accepts: [200], ...asking, subject, options, via };
    return chain.first(async (endpoint) => {
      const reply = await endpoint.ask(repository, question);
      try {
        return await read(reply, () => chain.avoid(endpoint));
      } catch (error) {
        if (isAbort(error) || options.signal?.aborted) throw error;
        throw fromNetwork(error, endpoint.host);
      }
    });
  };
}
