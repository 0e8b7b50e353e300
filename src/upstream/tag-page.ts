import { parseTag } from '../oci/reference.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { Reply } from './transport.ts';

/** Tags of one repository that are taken from a registry; some have a hundred thousand. */
export const TAGS_MAX = 500_000;

/** One answer of `/tags/list`, as the registry ordered it. */
export interface RawTagPage {
  readonly tags: readonly string[];
  /** The parameters of the page that `Link` names as the next one: `last` of the spec, or a registry's own. */
  readonly next: Readonly<Record<string, string>> | undefined;
}

/** The query of a `Link: <…>; rel="next"` header. Only that: whatever host and path it names, the list is asked where it was. */
function nextOf(reply: Reply): RawTagPage['next'] {
  const target = /<([^<>]{1,4096})>\s*;\s*rel="?next"?/i.exec(reply.headers['link'] ?? '')?.[1];
  if (target === undefined || !URL.canParse(target, reply.url.href)) return undefined;
  const query = Object.fromEntries(new URL(target, reply.url).searchParams);
  return Object.keys(query).length === 0 ? undefined : query;
}

/** Reads one page; what is no tag is left out. @throws {RegistryError} UNAVAILABLE when the body is no list of tags. */
export function readTagPage(bytes: Buffer, reply: Reply): RawTagPage {
  let document: unknown;
  try {
    document = JSON.parse(bytes.toString('utf8'));
  } catch (cause) {
    throw new RegistryError('UNAVAILABLE', `${reply.url.host} did not answer with a list of tags`, { cause });
  }
  const tags =
    typeof document === 'object' && document !== null ? (document as { tags?: unknown }).tags : undefined;
  // distribution writes null for a repository that has lost its last tag.
  if (tags !== null && !Array.isArray(tags)) {
    throw new RegistryError('UNAVAILABLE', `${reply.url.host} did not answer with a list of tags`);
  }
  if (tags !== null && tags.length > TAGS_MAX) {
    throw new RegistryError('UNAVAILABLE', `${reply.url.host} sent more than ${TAGS_MAX} tags at once`);
  }
  const written = (tags ?? []).filter((tag) => typeof tag === 'string' && parseTag(tag) !== undefined);
  return { tags: written, next: nextOf(reply) };
}
