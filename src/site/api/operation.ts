import type { Schema } from '../../lib/schema.ts';
import type { Gap } from '../../selection/gap-schema.ts';
import type { Account } from '../account.ts';
import type { PermissionsOf } from '../permissions.ts';
import type { PullView } from '../pull-record.ts';
import type { ApiProblemCode } from './api-problem.ts';
import type { ApiCaller, ManagedAccounts } from './managed-accounts.ts';

/** The visible body of a resource, and the state of it that no answer shows (see {@link entityTagOf}). */
export interface ApiResource {
  readonly body: object;
  readonly state?: string;
}

/** The requested part of a list. */
export interface ListQuery {
  readonly limit: number;
  /** The key of the last item of the previous part. */
  readonly after: string | undefined;
  /** Only items of this account. */
  readonly account: string | undefined;
}

export interface ApiCall<Body = unknown> {
  readonly caller: ApiCaller;
  readonly params: Readonly<Record<string, string>>;
  readonly list: ListQuery;
  readonly query: URLSearchParams;
  readonly body: Body;
  /**
   * Undefined: the resource does not exist.
   * @throws {ApiProblem} `changed` when `If-Match` names another state of the resource, or `If-None-Match` forbids it.
   */
  readonly expect: (resource: ApiResource | undefined) => void;
}

export interface ApiReply {
  readonly status?: 200 | 201 | 204;
  /** The resource that the entity tag identifies, and the body unless `body` is set. */
  readonly resource?: ApiResource;
  readonly body?: object;
  /** The path of the new resource, below the API's path. */
  readonly location?: string;
  /** The key of the last item, when more follow. */
  readonly next?: string | undefined;
}

/** The services that operations use. */
export interface ApiService {
  readonly accounts: ManagedAccounts;
  readonly record: PullView;
  /** In no particular order. */
  readonly gaps: () => readonly Gap[];
  readonly rightsOf: PermissionsOf;
  /** Hashes a password for a machine file. */
  readonly hash: (password: string) => Promise<string>;
  /** Milliseconds of the wall clock. */
  readonly wallClock: () => number;
}

export interface ApiAnswerFormat {
  readonly status: 200 | 201 | 204;
  readonly description: string;
  /** Absent: the answer has no body. */
  readonly schema?: Schema<unknown>;
}

/** One method of one resource: its request, its answers and its implementation. */
export interface ApiOperation {
  readonly id: string;
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Below the API's path: `/accounts/{user}`. */
  readonly path: string;
  readonly summary: string;
  readonly description?: string;
  /** The query takes `limit` and `cursor`, and with `byAccount` also `account`. */
  readonly list?: { readonly byAccount: boolean };
  /** Further parameters of the query, with their descriptions. */
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: Schema<unknown>;
  /** Requires `If-Match`. */
  readonly isEdit?: boolean;
  /** Adds a resource, or edits an existing one with `If-Match`. */
  readonly isPut?: boolean;
  readonly answer: ApiAnswerFormat;
  /** In addition to the problems of every operation. */
  readonly problems: readonly ApiProblemCode[];
  /** Runs the operation for an authenticated caller. */
  readonly run?: (service: ApiService, call: ApiCall) => Promise<ApiReply>;
  /** Replaces `run`: returns a document that needs no login. */
  readonly document?: () => Promise<object>;
}

interface OperationOf<Body> extends Omit<ApiOperation, 'body' | 'run'> {
  readonly body?: Schema<Body>;
  readonly run?: (service: ApiService, call: ApiCall<Body>) => Promise<ApiReply>;
}

/** Defines an operation. Infers the type of the body from its schema. */
export function operation<Body = undefined>(written: OperationOf<Body>): ApiOperation {
  return written as ApiOperation;
}

/** Cuts the requested part out of a list. @param items sorted by `keyOf`, see {@link sortByKey} */
export function cutPart<Item>(
  items: readonly Item[],
  { limit, after }: ListQuery,
  keyOf: (item: Item) => string,
): { readonly items: readonly Item[]; readonly next: string | undefined } {
  const from = after === undefined ? 0 : items.findIndex((item) => keyOf(item) > after);
  const rest = from < 0 ? [] : items.slice(from);
  const part = rest.slice(0, limit);
  const last = part.at(-1);
  return { items: part, next: rest.length > part.length && last !== undefined ? keyOf(last) : undefined };
}

/** Sorts items by their keys. */
export function sortByKey<Item>(items: readonly Item[], keyOf: (item: Item) => string): readonly Item[] {
  return [...items].sort((a, b) => {
    const [one, other] = [keyOf(a), keyOf(b)];
    return one < other ? -1 : one > other ? 1 : 0;
  });
}

/**
 * Lists what `partsOf` finds in every account that the caller may see and the query names. Returns the
 * requested part, sorted by account and name.
 */
export async function listOfAccounts<Part extends { readonly name: string }>(
  { accounts }: ApiService,
  call: ApiCall,
  partsOf: (account: Account) => readonly Part[],
  keyOfPart: (part: Part) => string = ({ name }) => name,
) {
  const all = (await accounts.list(call.caller))
    .filter((account) => matchesAccount(call, account))
    .flatMap((account) => partsOf(account).map((part) => ({ account, part })));
  const keyOf = ({ account, part }: (typeof all)[number]) => `${account.user}/${keyOfPart(part)}`;
  return cutPart(sortByKey(all, keyOf), call.list, keyOf);
}

export const userOf = ({ params }: ApiCall): string => params['user'] ?? '';
export const nameOf = ({ params }: ApiCall): string => params['name'] ?? '';

/** True when the query names the account, or no account. */
export function matchesAccount({ list }: ApiCall, { user }: Pick<Account, 'user'>): boolean {
  return list.account === undefined || list.account === user;
}

/** Hashes a password. Returns undefined (keep) and null (remove) unchanged. */
export async function hashIfText<None extends null | undefined>(
  { hash }: ApiService,
  password: string | None,
): Promise<string | None> {
  return typeof password === 'string' ? hash(password) : password;
}
