import { createServer } from 'node:http';
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { listenOnLoopback } from './loopback.ts';

/** The people whom the provider knows: the subject, with further claims. */
export type KnownPeople = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/** `oidc-provider`, a certified OpenID provider, on loopback, with its own login pages. */
export interface OpenidProvider {
  /** `http://127.0.0.1:PORT`. */
  readonly issuer: string;
  /** A JWT signed with the provider's own key. */
  sign(claims: JWTPayload): Promise<string>;
  close(): Promise<void>;
}

/** The confidential client of the site. */
export const SITE_CLIENT = { id: 'metahub', secret: 'a-secret-of-the-site-and-the-provider' } as const;
/** The public client of `metahub login --oidc`. */
export const DEVICE_CLIENT = 'metahub-cli';

/** The part of the library that is used; it comes without types. */
type ProviderClass = new (
  issuer: string,
  configuration: object,
) => { callback(): (request: unknown, response: unknown) => void };

/** Created once, because it takes a while. */
const keyPair = generateKeyPair('RS256', { extractable: true });

export async function startOpenidProvider(
  people: KnownPeople,
  redirectUris: () => readonly string[],
): Promise<OpenidProvider> {
  const name: string = 'oidc-provider';
  const { default: Provider } = (await import(name)) as { readonly default: ProviderClass };
  const { privateKey } = await keyPair;
  const key = { ...(await exportJWK(privateKey)), alg: 'RS256', use: 'sig', kid: 'test' };
  let answer: ((request: unknown, response: unknown) => void) | undefined;
  const server = createServer((request, response) => {
    // The redirect URIs are known once the site listens.
    answer ??= new Provider(issuer, configuration()).callback();
    answer(request, response);
  });
  const port = await listenOnLoopback(server);
  const issuer = `http://127.0.0.1:${port}`;
  const configuration = () => ({
    clients: [
      {
        client_id: SITE_CLIENT.id,
        client_secret: SITE_CLIENT.secret,
        redirect_uris: redirectUris(),
        // Loopback without TLS is for native clients.
        application_type: 'native',
      },
      {
        client_id: DEVICE_CLIENT,
        token_endpoint_auth_method: 'none',
        grant_types: ['urn:ietf:params:oauth:grant-type:device_code'],
        response_types: [],
        redirect_uris: [],
        application_type: 'native',
      },
    ],
    jwks: { keys: [key] },
    cookies: { keys: ['a', 'b'] },
    pkce: { required: () => true },
    conformIdTokenClaims: false,
    claims: { openid: ['sub'], email: ['email'], profile: ['preferred_username', 'groups'] },
    features: { deviceFlow: { enabled: true }, devInteractions: { enabled: true } },
    findAccount: (_: unknown, subject: string) =>
      Object.hasOwn(people, subject)
        ? { accountId: subject, claims: () => ({ ...people[subject], sub: subject }) }
        : undefined,
  });
  return {
    issuer,
    sign: (claims) => new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid: 'test' }).sign(privateKey),
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

/** A minimal browser for logins: it keeps cookies by origin, follows redirects, and submits the form of a page. */
export class Browser {
  readonly #cookies = new Map<string, Map<string, string>>();

  cookiesFor(origin: string): Map<string, string> {
    const known = this.#cookies.get(origin) ?? new Map<string, string>();
    this.#cookies.set(origin, known);
    return known;
  }

  async request(url: string, init: RequestInit = {}): Promise<Response> {
    const jar = this.cookiesFor(new URL(url).origin);
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await fetch(url, { ...init, redirect: 'manual', headers: { ...init.headers, cookie } });
    for (const written of answer.headers.getSetCookie()) {
      const [pair = ''] = written.split(';');
      const [name = '', value = ''] = [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)];
      if (/max-age=0|expires=thu, 01 jan 1970/i.test(written)) jar.delete(name);
      else jar.set(name, value);
    }
    return answer;
  }

  /** Follows redirects until another response, or one that leads to `stopAt`. */
  async follow(
    url: string,
    init?: RequestInit,
    stopAt?: string,
  ): Promise<{ readonly url: string; readonly answer: Response }> {
    let at = url;
    let answer = await this.request(at, init);
    for (let hops = 0; hops < 10; hops += 1) {
      const location = answer.headers.get('location');
      if (location === null) break;
      at = new URL(location, at).href;
      if (stopAt !== undefined && at.startsWith(stopAt)) break;
      answer = await this.request(at);
    }
    return { url: at, answer };
  }

  /**
   * Logs in on the provider's own pages as `subject`, starting at a URL that leads there. Resolves with the last
   * response.
   */
  async logIn(
    url: string,
    subject: string,
    stopAt?: string,
  ): Promise<{ readonly url: string; readonly answer: Response }> {
    let { url: at, answer } = await this.follow(url, undefined, stopAt);
    for (let pages = 0; pages < 5; pages += 1) {
      const html = await answer.clone().text();
      const action = /<form[^>]*action="([^"]+)"/.exec(html)?.[1];
      if (action === undefined || (stopAt !== undefined && at.startsWith(stopAt))) break;
      const hidden = [...html.matchAll(/<input[^>]*type="hidden"[^>]*name="([^"]+)"[^>]*value="([^"]*)"/g)];
      const form = new URLSearchParams(
        hidden.map(([, name = '', value = '']): [string, string] => [name, value]),
      );
      if (html.includes('name="login"')) {
        form.set('login', subject);
        form.set('password', 'any');
      }
      const target = new URL(action.replaceAll('&amp;', '&'), at).href;
      ({ url: at, answer } = await this.follow(
        target,
        {
          method: 'POST',
          body: form.toString(),
          headers: { 'content-type': 'application/x-www-form-urlencoded' },
        },
        stopAt,
      ));
    }
    return { url: at, answer };
  }
}
