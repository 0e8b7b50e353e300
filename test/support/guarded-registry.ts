import type { Handler } from './hostile-registry.ts';

/** The response of a token service. Default: a token that is valid for an hour. */
export interface TokenAnswer {
  readonly status?: number;
  /** A string is sent unchanged, anything else as JSON. */
  readonly body: unknown;
}

/** A token service that numbers its tokens (`token-1`, `token-2`, …) and decides which of them a registry accepts. */
export interface TokenService {
  readonly handler: Handler;
  /** Tokens that a registry behind {@link requireBearer} accepts. */
  readonly good: Set<string>;
  readonly issued: () => number;
}

export function createTokenService(
  answer: (token: string, nth: number) => TokenAnswer = (token) => ({ body: { token, expires_in: 3600 } }),
): TokenService {
  const good = new Set<string>();
  let issued = 0;
  return {
    good,
    issued: () => issued,
    handler: (_, response) => {
      issued += 1;
      const token = `token-${issued}`;
      good.add(token);
      const { status = 200, body } = answer(token, issued);
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(typeof body === 'string' ? body : JSON.stringify(body));
    },
  };
}

/** Answers 401 with `challenge` to a request without a good token of `service`. */
export function requireBearer(service: TokenService, challenge: string, then: Handler): Handler {
  return (request, response) => {
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
    if (token !== undefined && service.good.has(token)) return then(request, response);
    response.writeHead(401, { 'www-authenticate': challenge, 'content-type': 'application/json' });
    response.end('{"errors":[{"code":"UNAUTHORIZED"}]}');
  };
}

/** Answers 401 with a Basic challenge to a request with another login than this one. */
export function requireBasic(login: string, then: Handler, challenge = 'Basic realm="registry"'): Handler {
  const good = `Basic ${Buffer.from(login).toString('base64')}`;
  return (request, response) => {
    if (request.headers.authorization === good) return then(request, response);
    response.writeHead(401, { 'www-authenticate': challenge }).end();
  };
}

/** Formats a Bearer challenge; undefined parts are omitted. */
export function bearerChallenge(realm: string, service?: string, scope?: string): string {
  const parts = { realm, service, scope };
  return `Bearer ${Object.entries(parts)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}="${value}"`)
    .join(',')}`;
}
