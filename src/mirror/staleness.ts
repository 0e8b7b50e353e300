import type { Access, Notices } from '../oci/registry.ts';
import { HostNotAllowedError, RegistryError } from '../oci/registry-error.ts';
import { isLoopError } from '../oci/via.ts';

/** Says that an answer could not be confirmed upstream. @see https://www.rfc-editor.org/rfc/rfc7234#section-5.5.1 */
export const STALE_NOTICES: Notices = { warning: '110 - "Response is Stale"' };

/**
 * Has the upstream failed, as opposed to having answered? A tag that is gone (404) or a registry this mirror may not ask
 * is an answer. A refusal of our own login (401, 403) is a failure, since it says nothing about the image; to a client
 * with a login of its own it is the answer.
 */
export function isFailure(error: unknown, access: Access | undefined): boolean {
  if (!(error instanceof RegistryError)) return true;
  if (isLoopError(error) || error instanceof HostNotAllowedError) return false;
  switch (error.code) {
    case 'UNAVAILABLE':
    case 'TOOMANYREQUESTS':
    case 'UNKNOWN':
    case 'UNSUPPORTED':
    case 'MANIFEST_INVALID':
      return true;
    case 'UNAUTHORIZED':
    case 'DENIED':
      return access === undefined;
    default:
      return false;
  }
}

/** Did the upstream not answer in time? */
export function isTimeout(error: unknown): boolean {
  return error instanceof RegistryError && error.status === 504;
}
