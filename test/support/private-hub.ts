import { startGateway } from './gateway.ts';
import type { Workplace } from './workplace.ts';

/** A registry in front of another that requires a token, with tokens for one login: a private Docker Hub. */
export interface PrivateHub {
  readonly url: string;
  /** The `Authorization` header of every request for content, oldest first. */
  readonly shown: readonly (string | undefined)[];
}

export interface PrivateHubOptions {
  /** `http://127.0.0.1:PORT` of the other registry. */
  readonly registry: string;
  readonly username: string;
  readonly password: string;
}

export async function startPrivateHub(
  workplace: Workplace,
  { registry, username, password }: PrivateHubOptions,
): Promise<PrivateHub> {
  const login = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  const shown: (string | undefined)[] = [];
  let issued = 0;
  const port = await startGateway(workplace, registry, ({ url = '', headers }, outgoing, passOn) => {
    const { authorization } = headers;
    if (url.startsWith('/token')) {
      const isKnown = authorization === login;
      outgoing.writeHead(isKnown ? 200 : 401, { 'content-type': 'application/json' });
      issued += isKnown ? 1 : 0;
      outgoing.end(JSON.stringify(isKnown ? { token: `token-${issued}`, expires_in: 300 } : { errors: [] }));
      return;
    }
    if (url !== '/v2/') shown.push(authorization);
    if (!/^Bearer token-\d+$/.test(authorization ?? '')) {
      const challenge = `Bearer realm="http://${headers.host}/token",service="private.example"`;
      outgoing.writeHead(401, { 'www-authenticate': challenge, 'content-type': 'application/json' });
      outgoing.end('{"errors":[{"code":"UNAUTHORIZED","message":"a token is needed"}]}');
      return;
    }
    const { authorization: _, ...rest } = headers;
    passOn({ headers: rest });
  });
  return { url: `http://127.0.0.1:${port}`, shown };
}
