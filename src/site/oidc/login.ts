import type { RequestHandler } from '../../lib/http.ts';
import type { AccountIdentity } from '../account.ts';
import type { MachineAdmin } from '../machine-admin.ts';
import type { MachineReader } from '../machine-reader.ts';
import { createOidcEndpoints, type OidcEndpointsOptions } from './endpoints.ts';
import { LOGIN_PATHS } from './paths.ts';
import { PersonAccounts } from './person-accounts.ts';
import { OidcProvider, type ProviderFetch } from './provider.ts';
import type { OidcSettings } from './settings.ts';

/** The OpenID provider, and the means to reach it. */
export interface OidcOptions {
  readonly settings: OidcSettings;
  /** The client secret; undefined: a public client. */
  readonly secret: string | undefined;
  /** Base URL of the site, which the provider redirects people to. */
  readonly siteUrl: string;
  readonly fetch: ProviderFetch;
  /** Closes the connections to the provider, including those in use. */
  readonly close: () => Promise<void>;
}

export interface OidcLoginOptions
  extends Pick<OidcEndpointsOptions, 'find' | 'memory' | 'clientAddress' | 'audit' | 'log' | 'wallClock'> {
  /** Undefined: the site has no folder of machine files. */
  readonly reader: MachineReader | undefined;
  readonly admin: MachineAdmin | undefined;
  readonly onChanged: () => Promise<void>;
}

/** Logins of people at an OpenID provider. */
export interface OidcLogin {
  readonly handlers: ReadonlyMap<string, RequestHandler>;
  /** Finds the identity of a request's session. */
  readonly identityIn: (cookies: string | undefined) => AccountIdentity | undefined;
  /** Ends a request's session; returns `Set-Cookie`. */
  readonly endSession: (cookies: string | undefined) => Promise<string>;
  /** Path at which a login begins. */
  readonly path: string;
}

export function openOidcLogin(
  { settings, secret, siteUrl, fetch }: OidcOptions,
  options: OidcLoginOptions,
): OidcLogin {
  const { memory, reader, admin, onChanged } = options;
  const { sessions } = memory;
  const people = new PersonAccounts({
    admin,
    groups: async () => [...((await reader?.readAll())?.groups.keys() ?? [])],
    onChanged,
  });
  const redirectUri = `${siteUrl}${LOGIN_PATHS.callback}`;
  const provider = new OidcProvider({ settings, secret, redirectUri, fetch });
  return {
    handlers: createOidcEndpoints({ ...options, settings, provider, people }),
    identityIn: (cookies) => sessions.identityIn(cookies),
    endSession: (cookies) => sessions.end(cookies),
    path: LOGIN_PATHS.begin,
  };
}
