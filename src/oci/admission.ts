import type { IncomingHttpHeaders } from 'node:http';
import type { Repository } from './reference.ts';
import type { Access, Registry } from './registry.ts';
import type { RegistryError } from './registry-error.ts';

/** What is known of a request when it is decided who may see what. */
export interface RequestContext {
  readonly headers: IncomingHttpHeaders;
  /** The client's address, for limits on failed logins. */
  readonly remoteAddress: string;
  /** The repository asked for; undefined for the API's root. */
  readonly repository?: Repository | undefined;
  /** Aborts when the client leaves before it has its answer. */
  readonly signal?: AbortSignal;
}

/** The registry that this request sees, tailored to its profile. */
export interface Admitted {
  readonly kind: 'admitted';
  readonly registry: Registry;
  readonly access?: Access;
  /** Keys answers that may be sent again without asking: equal keys see equal answers. */
  readonly key: string;
  /** The login that the answer is for: `qnib-type1`. */
  readonly login?: string;
}

/** The request is answered with an error: 401 with its `www-authenticate`, 403, 429. */
interface Refused {
  readonly kind: 'refused';
  readonly error: RegistryError;
}

export type Admission = Admitted | Refused;

/** Decides, once per request, whose registry it sees. A node-local mirror admits everyone to one registry. */
export interface AdmissionController {
  admit(context: RequestContext): Admission | Promise<Admission>;
}
