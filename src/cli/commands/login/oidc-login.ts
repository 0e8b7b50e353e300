import { hostname } from 'node:os';
import * as v from 'valibot';
import { printable } from '../../../lib/text.ts';
import { LOGIN_PATHS } from '../../../site/oidc/paths.ts';
import { readIssuer } from '../../../site/oidc/settings.ts';
import { openConnection } from '../../open-upstream.ts';
import { fetchOver } from '../../provider-fetch.ts';
import { askSite, type SiteAddress } from '../../site-client.ts';
import { UserError } from '../../user-error.ts';

const Word = v.pipe(v.string(), v.regex(/^[!-~]{1,1024}$/));
const PROVIDER = v.object({ issuer: Word, client_id: Word, scope: v.string() });
const TOKEN = v.object({ username: Word, access_token: Word });

/** An account, and a token that replaces its password. */
export interface PersonLogin {
  readonly user: string;
  readonly token: string;
}

async function providerOf(site: SiteAddress) {
  const { status, document } = await askSite(site, { path: LOGIN_PATHS.provider });
  const { success, output } = v.safeParse(PROVIDER, document);
  const issuer = success ? readIssuer(output.issuer) : undefined;
  if (status === 200 && success && issuer !== undefined) return { ...output, issuer };
  throw new UserError(`${site.registry} names no provider that people log in at (HTTP ${status})`, {
    nextStep: 'Log in with --user ACCOUNT and the password or a token of the account.',
  });
}

/** Fetches a person's ID token by the device grant: the person logs in with a browser on any machine. */
async function idTokenOf(provider: v.InferOutput<typeof PROVIDER>, tell: (text: string) => void) {
  const client = await import('openid-client');
  const { transport } = openConnection(new URL(provider.issuer).origin);
  try {
    const isPlain = provider.issuer.startsWith('http:');
    const configuration = await client.discovery(
      new URL(provider.issuer),
      provider.client_id,
      undefined,
      client.None(),
      {
        [client.customFetch]: fetchOver(transport) as never,
        execute: isPlain ? [client.allowInsecureRequests] : [],
      },
    );
    const device = await client.initiateDeviceAuthorization(configuration, { scope: provider.scope });
    const { verification_uri: page, verification_uri_complete: whole = page, user_code: code } = device;
    tell(`Open ${printable(whole)} in a browser, and confirm the code ${printable(code)}\n`);
    const answer = await client.pollDeviceAuthorizationGrant(configuration, device);
    return answer.id_token;
  } catch (cause) {
    const { code, error_description: description } = cause as { code?: string; error_description?: string };
    const reason = printable(description ?? (cause as Error).message);
    throw new UserError(`the login at ${provider.issuer} failed: ${reason}`, {
      cause,
      nextStep:
        code === undefined
          ? 'Repeat the command.'
          : 'The provider has to allow the device grant for the public client of deviceClientId.',
    });
  } finally {
    await transport.close();
  }
}

/** Logs a person in at the provider of the site, and requests a token for this machine. @throws {UserError} */
export async function loginAtProvider(site: SiteAddress, tell: (text: string) => void): Promise<PersonLogin> {
  const idToken = await idTokenOf(await providerOf(site), tell);
  const form = new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: idToken ?? '',
    subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
    name: `login-${hostname().replaceAll(/[^A-Za-z0-9._-]/g, '-')}`.slice(0, 128),
  });
  const body = { type: 'application/x-www-form-urlencoded', text: form.toString() };
  const { status, document } = await askSite(site, { path: LOGIN_PATHS.token, body });
  const { success, output } = v.safeParse(TOKEN, document);
  if (status === 200 && success) return { user: output.username, token: output.access_token };
  throw new UserError(`${site.registry} does not accept this login (HTTP ${status})`, {
    nextStep: 'Ask its administrator: the audit trail of the site contains the reason.',
  });
}
