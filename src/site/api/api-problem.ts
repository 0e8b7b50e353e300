import { ConfigError, type ConfigErrorCode } from '../../lib/config-error.ts';
import type { AuditReason } from '../audit.ts';

/** Code of a problem -> HTTP status and title. */
export const API_PROBLEMS = {
  'login-required': [401, 'A login is required'],
  'login-refused': [401, 'The login is refused'],
  'too-many-failures': [429, 'Too many failed logins'],
  'not-allowed': [403, 'This login may not do that'],
  'cross-site': [403, 'A web page of another site may not do that'],
  'no-resource': [404, 'There is no such resource'],
  'method-not-allowed': [405, 'The resource does not take this method'],
  'invalid-query': [400, 'The query is malformed'],
  'invalid-json': [400, 'The body is not JSON'],
  'invalid-body': [422, 'The body is JSON of another form'],
  'media-type': [415, 'The body is of another media type'],
  'too-large': [413, 'The body is too large'],
  exists: [409, 'There is another one of that name'],
  'in-use': [409, 'Something else still needs it'],
  conflict: [409, 'Something that the change depends on has changed'],
  limit: [409, 'A limit is reached'],
  'if-match-required': [428, 'An edit has to say what it changes'],
  changed: [412, 'Another edit came first'],
  busy: [503, 'Another change is under way'],
  'read-only': [503, 'Nothing can be changed here'],
  unreadable: [503, 'The machine files cannot be read'],
  internal: [500, 'MetaHub failed'],
} as const satisfies Record<string, readonly [status: number, title: string]>;

export type ApiProblemCode = keyof typeof API_PROBLEMS;

const DOCUMENT = 'https://github.com/qnib/metahub/blob/main/docs/api.md';

/** One invalid part of a body. */
export interface BodyError {
  /** JSON pointer: `/features/0`. @see https://www.rfc-editor.org/rfc/rfc6901 */
  readonly pointer: string;
  readonly code: ConfigErrorCode;
  readonly detail: string;
}

export interface ApiProblemDetails {
  /** What the client can do about it. */
  readonly nextStep?: string | undefined;
  readonly errors?: readonly BodyError[] | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly cause?: unknown;
}

/**
 * A failed request, in the form of RFC 9457. The message contains no path of this machine.
 * @see https://www.rfc-editor.org/rfc/rfc9457
 */
export class ApiProblem extends Error {
  override readonly name = 'ApiProblem';
  readonly code: ApiProblemCode;
  readonly status: number;
  readonly nextStep: string | undefined;
  readonly errors: readonly BodyError[] | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    code: ApiProblemCode,
    detail: string,
    { nextStep, errors, headers, cause }: ApiProblemDetails = {},
  ) {
    super(detail, cause === undefined ? undefined : { cause });
    this.code = code;
    this.status = API_PROBLEMS[code][0];
    this.nextStep = nextStep;
    this.errors = errors;
    this.headers = headers ?? {};
  }

  toJSON(): object {
    const { code, status, message, nextStep, errors } = this;
    const [, title] = API_PROBLEMS[code];
    return { type: `${DOCUMENT}#${code}`, title, status, detail: message, code, nextStep, errors };
  }
}

const CODES: Readonly<Partial<Record<ConfigErrorCode, ApiProblemCode>>> = {
  exists: 'exists',
  missing: 'no-resource',
  changed: 'conflict',
  'in-use': 'in-use',
  busy: 'busy',
  'read-only': 'read-only',
  'too-large': 'limit',
  unreadable: 'unreadable',
};

const NEXT_STEPS: Readonly<Partial<Record<ApiProblemCode, string>>> = {
  exists: 'Choose another name, or edit the existing one.',
  'in-use': 'Remove every reference to it first.',
  conflict: 'Read the resource again, then repeat the change.',
  busy: 'Repeat the request in a second.',
  'read-only': 'Ask the operator to make the directory of machine files writable for the service.',
  unreadable: 'Ask the operator of the site to correct the file that the log of the mirror names.',
};

/** Converts an error into a problem without paths of this machine. Hides an unexpected error behind `internal`. */
export function toApiProblem(error: unknown): ApiProblem {
  if (error instanceof ApiProblem) return error;
  if (!(error instanceof ConfigError)) {
    const nextStep = 'Ask the operator: the log of the mirror contains the reason.';
    return new ApiProblem('internal', 'the request failed inside MetaHub', { nextStep, cause: error });
  }
  const code = CODES[error.code] ?? 'invalid-body';
  const headers = code === 'busy' ? { 'retry-after': '1' } : {};
  const nextStep = (code === 'in-use' ? error.nextStep : undefined) ?? NEXT_STEPS[code];
  return new ApiProblem(code, error.why, { nextStep, headers, cause: error });
}

/** Problems of logins with an audit reason that is more exact than their code. */
const LOGIN_REASONS = { 'login-required': 'no-credentials', 'login-refused': 'wrong-credentials' } as const;

/** The code of a failed request in the audit trail. */
export function auditReasonOf(error: unknown): AuditReason {
  const { code } = toApiProblem(error);
  return code === 'login-required' || code === 'login-refused' ? LOGIN_REASONS[code] : code;
}
