import type { ManifestReference } from '../oci/reference.ts';
import { RegistryError } from '../oci/registry-error.ts';

/** A repository that no registry has. A runtime requests a tag of it to test whether its requests arrive here. */
export const TEST_REPOSITORY = 'metahub/doctor';
const TAGS_MAX = 64;

/** The tags of {@link TEST_REPOSITORY} that clients requested recently. */
export class ConnectionTests {
  readonly #requested = new Set<string>();

  /** The oldest first. */
  requestedTags(): readonly string[] {
    return [...this.#requested];
  }

  /** Answers a request for {@link TEST_REPOSITORY}. @throws {RegistryError} MANIFEST_UNKNOWN */
  answer(reference: ManifestReference): never {
    if (reference.kind === 'tag') {
      this.#requested.delete(reference.tag);
      this.#requested.add(reference.tag);
      const [oldest = ''] = this.#requested;
      if (this.#requested.size > TAGS_MAX) this.#requested.delete(oldest);
    }
    throw new RegistryError(
      'MANIFEST_UNKNOWN',
      `${TEST_REPOSITORY} only tests whether a runtime uses this mirror`,
    );
  }
}
