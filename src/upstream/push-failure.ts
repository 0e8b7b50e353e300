import { RegistryError } from '../oci/registry-error.ts';
import { readDocument } from './document.ts';
import { DEFAULT_TIMEOUTS } from './settings.ts';
import type { Reply } from './transport.ts';

const ERROR_MAX_BYTES = 64 * 1024;
const SAID_MAX_CHARACTERS = 200;

/** The registry's own words for a refusal, of its first error. */
async function saidBy(reply: Reply): Promise<string> {
  try {
    const bytes = await readDocument(reply, ERROR_MAX_BYTES, DEFAULT_TIMEOUTS.documentMs);
    const { errors } = JSON.parse(bytes.toString('utf8')) as { errors?: readonly { message?: unknown }[] };
    const message = errors?.[0]?.message;
    return typeof message === 'string' ? `: ${message.slice(0, SAID_MAX_CHARACTERS)}` : '';
  } catch {
    // No error document, or none that can be read: the status has to do.
    return '';
  }
}

/** A refusal of something that was to be written, in the registry's words where it has any. */
export async function pushFailure(reply: Reply, what: string): Promise<RegistryError> {
  const { status, url } = reply;
  const message = `${url.host} answered ${status} to ${what}${await saidBy(reply)}`;
  switch (status) {
    case 401:
      return new RegistryError('UNAUTHORIZED', message);
    case 403:
      return new RegistryError('DENIED', message);
    case 404:
      return new RegistryError('NAME_UNKNOWN', message);
    case 405:
      return new RegistryError('UNSUPPORTED', message);
    case 429:
      return new RegistryError('TOOMANYREQUESTS', message);
    default:
      return new RegistryError('UNAVAILABLE', message);
  }
}
