import { readTextFile } from '../../lib/regular-file.ts';
import type { OidcSettings } from '../../site/oidc/settings.ts';
import { openConnection } from '../open-upstream.ts';
import { fetchOver } from '../provider-fetch.ts';
import { UserError } from '../user-error.ts';

async function readClientSecret(path: string): Promise<string> {
  const text = await readTextFile(path).catch((cause: Error) => {
    throw new UserError(`cannot read the client secret of oidc: ${cause.message}`, { cause });
  });
  if (text.trim() !== '') return text.trim();
  throw new UserError(`${path} holds no secret`, {
    nextStep: 'Copy the client secret from the provider, where the client is registered.',
  });
}

/** Reads the client secret, and opens the connection to the OpenID provider. @throws {UserError} */
export async function openOidc(settings: OidcSettings, siteUrl: string | undefined) {
  if (siteUrl === undefined) {
    throw new UserError('oidc needs the URL of this site', {
      nextStep: 'Add --site-url https://HOST: the provider redirects people to it.',
      exitStatus: 2,
    });
  }
  const { clientSecretFile } = settings;
  const secret = clientSecretFile === undefined ? undefined : await readClientSecret(clientSecretFile);
  const { transport } = openConnection(new URL(settings.issuer).origin);
  return { settings, secret, siteUrl, fetch: fetchOver(transport), close: () => transport.close() };
}
