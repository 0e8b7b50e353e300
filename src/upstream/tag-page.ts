import type { TagPage } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { Reply } from './transport.ts';

interface PageBounds {
  readonly limit: number | undefined;
  readonly after: string | undefined;
}

/** The `last` parameter of a `Link: <…>; rel="next"` header: where the next page begins. */
function nextOf(reply: Reply): string | undefined {
  const target = /<([^<>]{1,4096})>\s*;\s*rel="?next"?/i.exec(reply.headers['link'] ?? '')?.[1];
  if (target === undefined || !URL.canParse(target, reply.url.href)) return undefined;
  return new URL(target, reply.url).searchParams.get('last') ?? undefined;
}

function readTags(bytes: Buffer, host: string): readonly string[] {
  let document: unknown;
  try {
    document = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new RegistryError('UNAVAILABLE', `${host} did not answer with a list of tags`, { cause });
  }
  const tags =
    typeof document === 'object' && document !== null ? (document as { tags?: unknown }).tags : undefined;
  // distribution writes null for a repository that has lost its last tag.
  if (tags === null) return [];
  if (!Array.isArray(tags))
    throw new RegistryError('UNAVAILABLE', `${host} did not answer with a list of tags`);
  return tags.filter((tag) => typeof tag === 'string');
}

/**
 * A page of tags as the spec has it, from a registry that may not: sorted, only what comes after `after`, at most `limit`.
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#listing-tags
 * @throws {RegistryError} UNAVAILABLE when the body is no list of tags.
 */
export function readTagPage(bytes: Buffer, reply: Reply, { limit, after }: PageBounds): TagPage {
  const sorted = readTags(bytes, reply.url.host).toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  const fresh = after === undefined ? sorted : sorted.filter((tag) => tag > after);
  const page = limit === undefined ? fresh : fresh.slice(0, limit);
  return { tags: page, next: page.length < fresh.length ? page.at(-1) : nextOf(reply) };
}
