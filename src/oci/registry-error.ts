/**
 * The error codes of the specification, with their HTTP status.
 *
 * `UNAVAILABLE`, `TOOMANYREQUESTS` and `RANGE_INVALID` are in general use; the last one is from distribution's list
 * of codes.
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

/** All codes that an answer can have. */
export const ERROR_CODES = Object.keys(ERROR_STATUS) as readonly ErrorCode[];

export interface RegistryErrorOptions extends ErrorOptions {
  /** Replaces the usual status of the code, for example by 504 after a timeout. */
  readonly status?: number;
  /** The `detail` field of the answer: JSON without secrets. */
  readonly detail?: unknown;
  /** Headers for the client, names in lower case: `retry-after`, `www-authenticate`, `content-range`. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A failure with its code and HTTP status. The message names reference, upstream and status, never a secret. */
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

  /** The body of the answer: `{"errors":[{code, message, detail?}]}`. */
  toJSON(): { readonly errors: readonly [{ code: string; message: string; detail?: unknown }] } {
    const { code, message, detail } = this;
    return { errors: [{ code, message, ...(detail === undefined ? {} : { detail }) }] };
  }
}

/** The operator does not allow this registry: MetaHub neither asks it nor serves its stored content. */
export class HostNotAllowedError extends RegistryError {
  constructor(host: string) {
    super(
      'DENIED',
      `${host} is not among the registries that this mirror may use: add it as an upstream to allow it`,
    );
  }
}

/** 508 Loop Detected. @see https://www.rfc-editor.org/rfc/rfc5842#section-7.2 */
export const LOOP_STATUS = 508;

/**
 * True when this mirror, or one behind it, refused a request because of a loop. That says nothing about the
 * content.
 */
export function isLoopError(error: unknown): boolean {
  return error instanceof RegistryError && error.status === LOOP_STATUS;
}
