import { jsonText } from '../../lib/text.ts';
import { ApiProblem } from '../api/api-problem.ts';
import { entityTagOf, matchesStrongly } from '../api/entity-tag.ts';
import type { ApiOperation, ApiReply, ApiResource, ApiService } from '../api/operation.ts';
import { API_OPERATIONS } from '../api/operations.ts';
import { API_PATH, createApiRouter, readListQuery } from '../api/routes.ts';
import type { Visit } from './visit.ts';
import type { WebAudit } from './web-audit.ts';

const BY_ID = new Map(API_OPERATIONS.map((operation) => [operation.id, operation]));

/** Finds an operation of the API by its id. @throws {ApiProblem} when no page can run it */
export function operationOf(id: string): ApiOperation {
  const found = BY_ID.get(id);
  if (found?.run === undefined) throw new ApiProblem('no-resource', 'there is no such page');
  return found;
}

interface RunRequest {
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: URLSearchParams;
  readonly body?: unknown;
  /** The expected state of the resource; empty: any state. */
  readonly entityTag?: string;
}

/** Runs the operations of the API for the pages. Writes each run to the audit trail. */
export class OperationRunner {
  readonly #service: ApiService;
  readonly #audit: WebAudit;
  readonly #find = createApiRouter(API_OPERATIONS);

  constructor(service: ApiService, audit: WebAudit) {
    this.#service = service;
    this.#audit = audit;
  }

  async run({ caller, address, path }: Visit, id: string, request: RunRequest = {}): Promise<ApiReply> {
    const operation = operationOf(id);
    const { params = {}, query = new URLSearchParams(), body, entityTag = '' } = request;
    const { account, login: who, token } = caller.identity;
    const subject = {
      who,
      account: account.user,
      token: token?.name,
      address,
      operation: id,
      resource: path,
    };
    const expect = (resource: ApiResource | undefined) => {
      if (operation.isPut && entityTag === '' && resource !== undefined) {
        throw new ApiProblem('exists', 'there is another one of that name already');
      }
      if (entityTag === '' || (resource && matchesStrongly(entityTag, tagOf(resource)))) return;
      throw new ApiProblem('changed', 'somebody else has changed the resource meanwhile');
    };
    try {
      const list = readListQuery(operation, query);
      const reply =
        (await operation.run?.(this.#service, { caller, params, list, query, body, expect })) ?? {};
      const resource = reply.location === undefined ? path : `${API_PATH}${reply.location}`;
      this.#audit.write({
        decision: operation.method === 'GET' ? 'admitted' : 'changed',
        ...subject,
        resource,
      });
      return reply;
    } catch (error) {
      this.#audit.refuse(error, subject);
      throw error;
    }
  }

  /** Reads the resource at a path of the API. */
  async resource(visit: Visit, apiPath: string): Promise<ApiResource> {
    const { operation, params } = this.#find('GET', apiPath);
    const { resource } = await this.run(visit, operation.id, { params });
    return resource ?? { body: {} };
  }
}

/** Returns the entity tag of a resource. */
export function tagOf({ body, state }: ApiResource): string {
  return entityTagOf(jsonText(body), state);
}
