import type { ApiCaller } from '../api/managed-accounts.ts';

/** An authenticated request for a page. */
export interface Visit {
  readonly caller: ApiCaller;
  readonly address: string;
  /** The path of the request. */
  readonly path: string;
  readonly query: URLSearchParams;
  /** The cookie or header that authenticates the visitor. A confirmation must come with the same one. */
  readonly session: string;
}

/** The answer of a page's handler. */
export interface WebReply {
  readonly status?: number;
  readonly page?: string;
  /** Redirects the browser. */
  readonly location?: string;
  readonly cookies?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
}
