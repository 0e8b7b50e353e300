import { ApiProblem } from './api-problem.ts';
import type { ApiOperation, ListQuery } from './operation.ts';

/** Base path of the API. */
export const API_PATH = '/api/v1';

/** Default and maximum number of items in a part of a list. */
const LIMIT = 100;
const LIMIT_MAX = 500;

interface FoundOperation {
  readonly operation: ApiOperation;
  readonly params: Readonly<Record<string, string>>;
}

/** Decodes a segment of a path; undefined when it cannot be a name. */
function decoded(segment: string): string | undefined {
  try {
    const text = decodeURIComponent(segment);
    return text === '' || text.includes('/') ? undefined : text;
  } catch {
    return undefined;
  }
}

function paramsOf(template: readonly string[], path: readonly string[]) {
  if (template.length !== path.length) return undefined;
  const params: Record<string, string> = {};
  for (const [at, part] of template.entries()) {
    const segment = path[at] ?? '';
    const name = /^\{(\w+)\}$/.exec(part)?.[1];
    if (name === undefined && part !== segment) return undefined;
    const value = name === undefined ? undefined : decoded(segment);
    if (name !== undefined && value === undefined) return undefined;
    if (name !== undefined && value !== undefined) params[name] = value;
  }
  return params;
}

/** Creates the function that finds the operation of a request. */
export function createApiRouter(operations: readonly ApiOperation[]) {
  const routes = operations.map((operation) => ({ operation, template: operation.path.split('/') }));
  /**
   * @param path below the API's path
   * @throws {ApiProblem} when there is no such resource, or it does not take the method
   */
  return (method: string, path: string): FoundOperation => {
    const wanted = method === 'HEAD' ? 'GET' : method;
    const segments = path.split('/');
    const methods: string[] = [];
    for (const { operation, template } of routes) {
      const params = paramsOf(template, segments);
      if (params === undefined) continue;
      if (operation.method === wanted) return { operation, params };
      methods.push(operation.method, ...(operation.method === 'GET' ? ['HEAD'] : []));
    }
    const nextStep = `GET ${API_PATH}/openapi.json describes all resources.`;
    if (methods.length === 0)
      throw new ApiProblem('no-resource', 'there is nothing at this path', { nextStep });
    const allow = methods.join(', ');
    throw new ApiProblem('method-not-allowed', `the resource takes ${allow} only`, {
      nextStep,
      headers: { allow },
    });
  };
}

function wrongQuery(detail: string): ApiProblem {
  return new ApiProblem('invalid-query', detail);
}

function cursorIn(written: string | null): string | undefined {
  if (written === null) return undefined;
  const text = Buffer.from(written, 'base64url').toString('utf8');
  if (text !== '' && cursorOf(text) === written) return text;
  throw wrongQuery('cursor must come from a Link header');
}

/** Encodes the key of the last item for the `cursor` of the next request. */
export function cursorOf(key: string): string {
  return Buffer.from(key).toString('base64url');
}

/** Reads the query of a list. @throws {ApiProblem} for parameters that the operation does not have */
export function readListQuery({ list, query = {} }: ApiOperation, written: URLSearchParams): ListQuery {
  const known = new Set([
    ...(list ? ['limit', 'cursor'] : []),
    ...(list?.byAccount ? ['account'] : []),
    ...Object.keys(query),
  ]);
  for (const name of new Set(written.keys())) {
    if (!known.has(name)) throw wrongQuery(`there is no parameter ${JSON.stringify(name.slice(0, 100))}`);
    if (written.getAll(name).length > 1) throw wrongQuery(`the query contains ${name} more than once`);
  }
  const limit = written.get('limit') ?? String(LIMIT);
  if (!/^[1-9]\d{0,2}$/.test(limit) || Number(limit) > LIMIT_MAX) {
    throw wrongQuery(`limit must be a number from 1 to ${LIMIT_MAX}`);
  }
  return {
    limit: Number(limit),
    after: cursorIn(written.get('cursor')),
    account: written.get('account') ?? undefined,
  };
}
