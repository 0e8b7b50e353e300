import { isDeepStrictEqual } from 'node:util';
import type { RequestHandler } from '../lib/http.ts';
import type { Challenges } from './enrolment/challenge.ts';
import type { CloudRule } from './enrolment/cloud-rules.ts';
import type { CloudChecks } from './enrolment/enrol-endpoint.ts';
import type { OidcLogin, OidcLoginOptions, OidcOptions } from './oidc/login.ts';
import { LOGIN_PATHS } from './oidc/paths.ts';
import type { OidcMemory, SessionsOptions } from './oidc/session.ts';

/** The settings of a site that a reload can change. */
export interface ReloadableSettings {
  /** The OpenID provider; undefined: people log in with passwords only. */
  readonly oidc?: OidcOptions | undefined;
  /** Rules for cloud instances that enrol. Documents of Azure and GCP are made for the URL of the site. */
  readonly enrolment?: readonly CloudRule[];
}

export interface ReloadablePartsOptions
  extends Omit<OidcLoginOptions, 'memory'>,
    Omit<SessionsOptions, 'secure'> {
  /** The URL of the site. */
  readonly url: string | undefined;
}

/** Maximum time of a request to a provider, in milliseconds. */
const PROVIDER_MS = 10_000;

function isSameProvider(one: OidcOptions, other: OidcOptions): boolean {
  const settingsOf = ({ settings, secret, siteUrl }: OidcOptions) => ({ settings, secret, siteUrl });
  return isDeepStrictEqual(settingsOf(one), settingsOf(other));
}

/** The parts of a site that a reload of settings replaces. */
export class ReloadableParts {
  readonly #options: ReloadablePartsOptions;
  #memory: OidcMemory | undefined;
  #login: OidcLogin | undefined;
  /** The settings that the login was opened with. */
  #oidc: OidcOptions | undefined;
  #challenges: Challenges | undefined;
  #cloud: CloudChecks = { checkCloud: undefined, createChallenge: undefined };

  constructor(options: ReloadablePartsOptions) {
    this.#options = options;
  }

  readonly login = (): OidcLogin | undefined => this.#login;
  readonly cloud = (): CloudChecks => this.#cloud;

  /** Adds the handlers of logins at the current provider; removes those of a former one. */
  putLogins(handlers: Map<string, RequestHandler>, wrap: (handler: RequestHandler) => RequestHandler): void {
    for (const path of Object.values(LOGIN_PATHS)) {
      const handler = this.#login?.handlers.get(path);
      if (handler === undefined) handlers.delete(path);
      else handlers.set(path, wrap(handler));
    }
  }

  /**
   * Opens the parts for these settings. Returns the function that replaces the current parts by them and then
   * calls `onApplied`.
   */
  async prepare(
    { oidc, enrolment = [] }: ReloadableSettings,
    onApplied: () => void = () => {},
  ): Promise<() => void> {
    const former = this.#oidc;
    const isSame = oidc !== undefined && former !== undefined && isSameProvider(oidc, former);
    const login = isSame ? this.#login : await this.#openLogin(oidc);
    const cloud = await this.#openChecks(enrolment);
    return () => {
      this.#login = login;
      // The former provider's connections stay open until the logins on their way have ended.
      if (!isSame) setTimeout(() => void former?.close(), PROVIDER_MS).unref();
      this.#oidc = isSame ? former : oidc;
      this.#cloud = cloud;
      onApplied();
    };
  }

  async #openLogin(oidc: OidcOptions | undefined): Promise<OidcLogin | undefined> {
    if (oidc === undefined) return undefined;
    const [{ openOidcLogin }, { createOidcMemory }] = await Promise.all([
      import('./oidc/login.ts'),
      import('./oidc/session.ts'),
    ]);
    this.#memory ??= createOidcMemory({ ...this.#options, secure: oidc.siteUrl.startsWith('https:') });
    return openOidcLogin(oidc, { ...this.#options, memory: this.#memory });
  }

  async #openChecks(rules: readonly CloudRule[]): Promise<CloudChecks> {
    if (rules.length === 0) return { checkCloud: undefined, createChallenge: undefined };
    const { url = '', tokenKey, wallClock } = this.#options;
    const [{ createCloudCheck }, { checkCloudKeys }, { createChallenges }] = await Promise.all([
      import('./enrolment/cloud-identity.ts'),
      import('./enrolment/cloud-keys.ts'),
      import('./enrolment/challenge.ts'),
    ]);
    await Promise.all(rules.map(checkCloudKeys));
    // A reload must not reset the count of challenges.
    this.#challenges ??= createChallenges(tokenKey, wallClock);
    const challenges = this.#challenges;
    return {
      checkCloud: createCloudCheck(rules, { audience: url, challengedMs: challenges.sinceMs, wallClock }),
      createChallenge: rules.some(({ cloud }) => cloud === 'azure') ? challenges.create : undefined,
    };
  }
}
