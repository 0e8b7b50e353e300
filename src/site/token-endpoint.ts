import type { IncomingMessage } from 'node:http';
import { abortWhenGone, type RequestHandler } from '../lib/http.ts';
import type { Log } from '../lib/log.ts';
import { queryIn } from '../lib/url.ts';
import { hostsNamed } from '../oci/pattern.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { AccountIdentity } from './account.ts';
import type { Audit } from './audit.ts';
import type { Authenticate, Authenticated, LoginClient } from './authenticate.ts';
import type { ClientAddress } from './client-address.ts';
import { type PermissionsOf, parseScopes, repositoryNamed } from './permissions.ts';
import { answering, basicRefusal, readBody, type SiteAnswer, sendJson } from './responses.ts';
import type { Grant, TokenIssuer } from './token.ts';

export interface TokenEndpointOptions {
  readonly authenticate: Authenticate;
  readonly tokens: TokenIssuer;
  readonly rightsOf: PermissionsOf;
  readonly clientAddress: ClientAddress;
  readonly audit: Audit;
  readonly log: Log;
}

/** The authenticated login, and the requested scopes. */
interface TokenRequest {
  readonly found: Authenticated;
  readonly scopes: readonly string[];
}

/**
 * Creates the token service: `GET` with Basic credentials (docker, podman, skopeo), and OAuth2's `POST` with
 * the password in the form (containerd tries it first).
 * @see https://distribution.github.io/distribution/spec/auth/token/
 * @see https://distribution.github.io/distribution/spec/auth/oauth/
 */
export function createTokenEndpoint(options: TokenEndpointOptions): RequestHandler {
  const { authenticate, tokens, rightsOf, clientAddress, audit, log } = options;

  async function readRequest(request: IncomingMessage, client: LoginClient): Promise<TokenRequest> {
    if (request.method === 'GET') {
      const query = new URLSearchParams(queryIn(request.url ?? ''));
      // Accepts passwords only, because a token must not renew itself.
      const found = await authenticate.byBasic(request.headers.authorization, client);
      return { found, scopes: query.getAll('scope') };
    }
    if (request.method !== 'POST') {
      throw new RegistryError('UNSUPPORTED', 'the token service takes GET and POST', {
        headers: { allow: 'GET, POST' },
      });
    }
    const form = new URLSearchParams(await readBody(request));
    if (form.get('grant_type') !== 'password') {
      throw new RegistryError('UNSUPPORTED', 'only the grant type “password” is supported', {
        status: 400,
      });
    }
    const [login, password] = [form.get('username') ?? '', form.get('password') ?? ''];
    return { found: await authenticate.byPassword(login, password, client), scopes: form.getAll('scope') };
  }

  /**
   * Returns the grants for the scopes. A name without a host may mean the repository on any host that the
   * account's patterns name.
   */
  function grantsFor(identity: AccountIdentity, scopes: readonly string[]): readonly Grant[] {
    const { mayPull, mayPush } = rightsOf(identity);
    const { repositories, push } = identity.account;
    const hosts = hostsNamed([...repositories, ...push]);
    return parseScopes(scopes).flatMap(({ type, name, actions }) => {
      const names = [name, ...hosts.map((host) => `${host}/${name}`)];
      const named = names.map(repositoryNamed).filter((repository) => repository !== undefined);
      const wants = (action: string) => actions.includes(action) || actions.includes('*');
      const granted = [
        ...(wants('pull') && named.some(mayPull) ? ['pull'] : []),
        ...(wants('push') && named.some(mayPush) ? ['push'] : []),
      ];
      return granted.length === 0 ? [] : [{ type, name, actions: granted }];
    });
  }

  const answer: SiteAnswer = async (request, response, trail) => {
    const { address } = trail;
    const { found, scopes } = await readRequest(request, { address, signal: abortWhenGone(response) });
    if (found.kind === 'unknown') {
      Object.assign(trail, { reason: found.reason, who: found.who });
      throw basicRefusal(found);
    }
    const { identity } = found;
    const grants = grantsFor(identity, scopes);
    const { text, lifetimeS, issuedAt } = await tokens.issue(identity, grants);
    audit({
      decision: 'token given',
      who: identity.login,
      account: identity.account.user,
      token: identity.token?.name,
      address,
    });
    sendJson(response, 200, {
      token: text,
      access_token: text,
      expires_in: lifetimeS,
      issued_at: issuedAt.toISOString().replace(/\.\d+Z$/, 'Z'),
      scope: grants.map(({ type, name, actions }) => `${type}:${name}:${actions.join(',')}`).join(' '),
    });
  };

  return answering({ what: 'the token service', log, audit, clientAddress }, answer);
}
