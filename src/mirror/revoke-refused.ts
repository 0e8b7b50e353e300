import type { ContentStore } from '../oci/content-store.ts';
import type { Repository } from '../oci/reference.ts';
import { hasOwnLogin, type Registry, type RequestOptions } from '../oci/registry.ts';

import { RegistryError } from '../oci/registry-error.ts';

/** A registry may hide what a login must not see (any longer) by 404. */
function isRefusal(error: unknown): boolean {
  if (!(error instanceof RegistryError)) return false;
  return error.code === 'UNAUTHORIZED' || error.code === 'DENIED' || error.status === 404;
}

/**
 * The upstream, which can revoke a client's own login at any time: when it refuses one, what that login was granted before
 * counts no more, and no answer to one is repeated without asking.
 */
export function revokeRefused(next: Registry, store: Pick<ContentStore, 'revoke'>): Registry {
  async function ask<Answer>(
    repository: Repository,
    options: RequestOptions | undefined,
    answer: Promise<Answer>,
  ): Promise<Answer> {
    try {
      return await answer;
    } catch (error) {
      if (isRefusal(error)) store.revoke({ repository, access: options?.access });
      throw error;
    }
  }
  return {
    resolve: (repository, reference, options) =>
      ask(repository, options, next.resolve(repository, reference, options)),
    manifest: async (repository, reference, options) => {
      const manifest = await ask(repository, options, next.manifest(repository, reference, options));
      return hasOwnLogin(options?.access) && reference.kind === 'digest'
        ? { ...manifest, maxAgeMs: 0 }
        : manifest;
    },
    statBlob: (repository, digest, options) =>
      ask(repository, options, next.statBlob(repository, digest, options)),
    blob: (repository, digest, options) => ask(repository, options, next.blob(repository, digest, options)),
    tags: (repository, options) => ask(repository, options, next.tags(repository, options)),
    referrers: (repository, digest, options) =>
      ask(repository, options, next.referrers(repository, digest, options)),
  };
}
