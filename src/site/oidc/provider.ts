import { createRemoteJWKSet, customFetch as joseFetch, jwtVerify } from 'jose';
import type * as OpenidClient from 'openid-client';
import type { Claims, OidcSettings } from './settings.ts';

/** The values of a login that has begun. Its callback must match them. */
export interface PendingLogin {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
}

/** Sends requests to the provider. */
export type ProviderFetch = (url: string, options: RequestInit) => Promise<Response>;

export interface OidcProviderOptions {
  readonly settings: Pick<OidcSettings, 'issuer' | 'clientId' | 'deviceClientId' | 'scopes'>;
  /** Undefined: a public client. */
  readonly secret: string | undefined;
  readonly redirectUri: string;
  readonly fetch: ProviderFetch;
}

/** Maximum difference between the clocks of the provider and the site, in seconds. */
const CLOCK_TOLERANCE_S = 30;
/**
 * Maximum age of an ID token that can be exchanged, in seconds: the time that a person needs for the
 * provider's pages.
 */
const ID_TOKEN_AGE_S = 10 * 60;
/** How long MetaHub uses the provider's discovery document, in milliseconds. */
const DISCOVERY_MS = 60 * 60_000;
/** Without `none` and the symmetric algorithms: a public client would know their key. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'];

interface Discovered {
  readonly configuration: OpenidClient.Configuration;
  readonly keys: ReturnType<typeof createRemoteJWKSet>;
  readonly untilMs: number;
}

/** Logs people in at an OpenID provider. The first login imports the library. */
export class OidcProvider {
  readonly #options: OidcProviderOptions;
  #discovered: Promise<Discovered> | undefined;

  constructor(options: OidcProviderOptions) {
    this.#options = options;
  }

  /** Begins a login; returns the provider's URL for the browser. */
  async begin(): Promise<{ readonly url: URL; readonly pending: PendingLogin }> {
    const [client, { configuration }] = await Promise.all([import('openid-client'), this.#discover()]);
    const pending = {
      state: client.randomState(),
      nonce: client.randomNonce(),
      verifier: client.randomPKCECodeVerifier(),
    };
    const url = client.buildAuthorizationUrl(configuration, {
      redirect_uri: this.#options.redirectUri,
      scope: this.#options.settings.scopes.join(' '),
      state: pending.state,
      nonce: pending.nonce,
      code_challenge: await client.calculatePKCECodeChallenge(pending.verifier),
      code_challenge_method: 'S256',
    });
    return { url, pending };
  }

  /** Redeems the code in the callback's query; returns the person's claims. @throws for an invalid callback */
  async finish(query: string, { state, nonce, verifier }: PendingLogin): Promise<Claims> {
    const [client, { configuration }] = await Promise.all([import('openid-client'), this.#discover()]);
    const answer = await client.authorizationCodeGrant(
      configuration,
      new URL(`?${query}`, this.#options.redirectUri),
      { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier, idTokenExpected: true },
    );
    return (answer.claims() ?? {}) as Claims;
  }

  /** Verifies an ID token; returns its claims. @throws {JOSEError} for an invalid one */
  async verify(idToken: string): Promise<Claims> {
    const { settings } = this.#options;
    const { keys, configuration } = await this.#discover();
    const audience = [settings.clientId, ...(settings.deviceClientId ? [settings.deviceClientId] : [])];
    const { payload } = await jwtVerify(idToken, keys, {
      algorithms: ALGORITHMS,
      issuer: configuration.serverMetadata().issuer,
      audience,
      clockTolerance: CLOCK_TOLERANCE_S,
      maxTokenAge: ID_TOKEN_AGE_S,
      requiredClaims: ['sub', 'exp', 'iat'],
    });
    return payload;
  }

  /** Discovers the provider, once for concurrent callers. Does not cache a failure. */
  #discover(): Promise<Discovered> {
    const known = this.#discovered;
    const discovering = (known ?? Promise.reject(new Error('not yet discovered'))).then(
      (found) => (performance.now() < found.untilMs ? found : this.#fetchDiscovery()),
      () => this.#fetchDiscovery(),
    );
    this.#discovered = discovering;
    return discovering;
  }

  async #fetchDiscovery(): Promise<Discovered> {
    const { settings, secret, fetch } = this.#options;
    const client = await import('openid-client');
    const issuer = new URL(settings.issuer);
    const configuration = await client.discovery(
      issuer,
      settings.clientId,
      // Stryker disable next-line ObjectLiteral: the default of the library is the same.
      { [client.clockTolerance]: CLOCK_TOLERANCE_S },
      secret === undefined ? client.None() : client.ClientSecretBasic(secret),
      {
        [client.customFetch]: fetch as never,
        // Plain HTTP is safe here: the settings accept it only for an issuer on loopback.
        execute: [
          client.enableNonRepudiationChecks,
          ...(issuer.protocol === 'http:' ? [client.allowInsecureRequests] : []),
        ],
      },
    );
    const { jwks_uri: keysUrl } = configuration.serverMetadata();
    if (keysUrl === undefined) throw new Error('the provider names no keys (jwks_uri)');
    const keys = createRemoteJWKSet(new URL(keysUrl), { [joseFetch]: fetch as never });
    return { configuration, keys, untilMs: performance.now() + DISCOVERY_MS };
  }
}
