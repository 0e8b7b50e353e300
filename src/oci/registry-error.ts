import { shapeOf, USUAL_BOUNDS } from '../lib/bounded-json.ts';

/**
 * The spec's error codes and the HTTP status each is answered with.
 *
 * `UNAVAILABLE`, `TOOMANYREQUESTS` and `RANGE_INVALID` are in use by every registry; the last is from distribution's
 * registry of codes.
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes
 */
const ERROR_STATUS = {
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_UNKNOWN: 404,
  DIGEST_INVALID: 400,
  MANIFEST_INVALID: 502,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  PAGINATION_NUMBER_INVALID: 400,
  TAG_INVALID: 400,
  UNAUTHORIZED: 401,
  DENIED: 403,
  UNSUPPORTED: 405,
  TOOMANYREQUESTS: 429,
  RANGE_INVALID: 416,
  UNAVAILABLE: 502,
  UNKNOWN: 500,
} as const;

export type ErrorCode = keyof typeof ERROR_STATUS;

/** Every code that an answer can carry. */
export const ERROR_CODES = Object.keys(ERROR_STATUS) as readonly ErrorCode[];

export interface RegistryErrorOptions extends ErrorOptions {
  /** Instead of the code's usual status, such as 504 for an upstream that never answered. */
  readonly status?: number;
  /** More for the `detail` field of the answer: JSON without secrets. */
  readonly detail?: unknown;
  /** To be handed on to the client, lower-case names: `retry-after`, `www-authenticate`, `content-range`. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A failure that knows its wire form. The message names the reference, the upstream and the status, never a secret. */
export class RegistryError extends Error {
  override readonly name = 'RegistryError';
  readonly code: ErrorCode;
  readonly status: number;
  readonly detail: unknown;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: ErrorCode, message: string, options: RegistryErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = options.status ?? ERROR_STATUS[code];
    this.detail = options.detail;
    this.headers = options.headers ?? {};
  }

  /** The response body: `{"errors":[{code, message, detail?}]}`. */
  toJSON(): { readonly errors: readonly [{ code: string; message: string; detail?: unknown }] } {
    const { code, message, detail } = this;
    return { errors: [{ code, message, ...(detail === undefined ? {} : { detail }) }] };
  }
}

/** A registry that this mirror's operator does not let it ask: nobody is asked, and nothing that is held of it is served. */
export class HostNotAllowedError extends RegistryError {
  constructor(host: string) {
    super(
      'DENIED',
      `${host} is not among the registries that this mirror may ask: name it as an upstream to allow it`,
    );
  }
}

/** A manifest that is too deep or has too many parts to be parsed. */
export class DocumentBoundsError extends RegistryError {
  constructor(why: string) {
    super('MANIFEST_INVALID', `the manifest ${why}`);
  }
}

/**
 * Refuses a manifest that is not worth parsing, before it is parsed: of any depth, or with any number of entries, features
 * or annotations. Specs nest a few levels, and an index of a thousand entries has about 30,000 names and values.
 * @throws {DocumentBoundsError}
 */
export function checkShape(bytes: Uint8Array): void {
  const { depth, values } = shapeOf(bytes, USUAL_BOUNDS);
  if (depth > USUAL_BOUNDS.depth) {
    throw new DocumentBoundsError(`nests deeper than ${USUAL_BOUNDS.depth} levels`);
  }
  if (values > USUAL_BOUNDS.values) {
    throw new DocumentBoundsError(`has more than ${USUAL_BOUNDS.values} names and values`);
  }
}
