import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Registry, RequestOptions } from '../oci/registry.ts';

/** An admitted request: which registry it sees, how to ask it, and where the answer goes. */
export interface HttpExchange {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  readonly registry: Registry;
  /** `signal` fires when the client leaves before its answer is complete. */
  readonly options: RequestOptions & { readonly signal: AbortSignal };
  /** The answer depends on the client's login: no cache may give it to another client. */
  readonly isPrivate: boolean;
  /** Counts a document's memory until the answer is sent. @throws {RegistryError} 503 when there is none left. */
  readonly hold: (bytes: Buffer) => void;
}
