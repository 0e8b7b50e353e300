import type { Log } from '../lib/log.ts';
import { virtual } from '../mirror/virtual.ts';
import type { ListSpec } from '../oci/image-list.ts';
import { type ImageReference, parseImageReference } from '../oci/reference.ts';
import type { Registry } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { createLog } from './log.ts';
import { newPseudonym, openUpstream } from './open-upstream.ts';
import type { Upstreams } from './settings/upstreams.ts';
import { UserError } from './user-error.ts';

/** The settings for looking up an image. */
export interface LookupSettings {
  readonly values: {
    readonly upstream: Upstreams;
    readonly publicRegistries: boolean;
  };
}

/** Parses an image name of the command line. @throws {UserError} status 2 */
export function parseImage(written: string): ImageReference {
  const image = parseImageReference(written);
  if (image !== undefined) return image;
  throw new UserError(`“${written}” is not an image name`, {
    nextStep: 'Write it as for docker pull: alpine, ghcr.io/owner/name:tag, name@sha256:…',
    exitStatus: 2,
  });
}

/** Creates a log of warnings, for a command that prints only its answer unless something is wrong. */
export function warningLog(): Log {
  return createLog({
    stream: process.stderr,
    format: 'text',
    level: 'warning',
    journal: false,
    now: () => new Date(),
  });
}

/** Opens the registries as the mirror would use them, with these lists of images. Closes them when `use` ends. */
export async function withRegistry<T>(
  { values }: LookupSettings,
  lists: readonly ListSpec[],
  use: (registry: Registry) => Promise<T>,
): Promise<T> {
  const log = warningLog();
  const upstream = openUpstream(values, { log, pseudonym: newPseudonym() });
  const registry = virtual({
    next: upstream,
    catalog: () => lists,
    now: () => performance.now(),
    onMissing: (list, { image, reason }) =>
      log('warning', 'list-member-missing', 'a member of a list is missing', { list, image, reason }),
  });
  try {
    return await use(registry);
  } finally {
    await upstream.close();
  }
}

const NEXT_STEPS: Readonly<Record<string, string>> = {
  MANIFEST_UNKNOWN: 'Check the image name and the tag.',
  NAME_UNKNOWN: 'Check the image name; a private image needs a login (docker login).',
  UNAUTHORIZED: 'Log in to the registry (docker login), or check the name.',
  DENIED: 'Allow the registry with --upstream HOST, or check what your login may pull.',
  TOOMANYREQUESTS: 'The registry limits its clients: log in, or wait a while.',
};

/** Converts a registry's failure into an error with a next step. Returns any other error unchanged. */
export function lookupFailure(cause: unknown, name: string): unknown {
  if (!(cause instanceof RegistryError)) return cause;
  const nextStep =
    NEXT_STEPS[cause.code] ??
    'Check that this machine reaches the registry; --upstream HOST=URL names another endpoint.';
  return new UserError(`${name}: ${cause.message}`, { cause, nextStep });
}
