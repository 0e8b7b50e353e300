import { type Digest, parseDigest } from '../oci/digest.ts';
import { isMediaType } from '../oci/media-type.ts';
import {
  looksLikeHost,
  type ManifestReference,
  parseManifestReference,
  parseRepositoryName,
  parseSourceHost,
  parseTag,
  type Repository,
  repositoryAt,
  type SourceHost,
  type Tag,
} from '../oci/reference.ts';
import { HostNotAllowedError, RegistryError } from '../oci/registry-error.ts';

const KNOWN = ['ns', 'n', 'last', 'artifactType', 'digest', 'mount', 'from'] as const;

/** The API's parameters, percent-decoded. `+` stands for itself: no value holds a space, and media types hold `+`. */
export type Query = { readonly [Name in (typeof KNOWN)[number]]?: string };

function isKnown(name: string): name is keyof Query {
  return (KNOWN as readonly string[]).includes(name);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new RegistryError('UNSUPPORTED', 'malformed query', { status: 400, cause });
  }
}

/**
 * Reads a raw query string; unknown parameters are passed over.
 * @throws {RegistryError} UNSUPPORTED with 400 for a malformed escape, or a parameter given twice with different values: two
 * readers could disagree on which of them counts.
 */
export function parseQuery(text: string): Query {
  const query: { -readonly [Name in keyof Query]: Query[Name] } = {};
  if (text === '') return query;
  for (const pair of text.split('&')) {
    const equals = pair.indexOf('=');
    const name = decode(equals < 0 ? pair : pair.slice(0, equals));
    if (!isKnown(name)) continue;
    const value = equals < 0 ? '' : decode(pair.slice(equals + 1));
    if (query[name] !== undefined && query[name] !== value) {
      throw new RegistryError('UNSUPPORTED', `${name} was given twice`, { status: 400 });
    }
    query[name] = value;
  }
  return query;
}

/** What a request asks for, read once from the raw request target; nothing downstream parses strings again. */
export type Route =
  | { readonly kind: 'ping' }
  | ManifestRoute
  | BlobRoute
  | TagsRoute
  | ReferrersRoute
  /** Not of the registry's API: the status pages. */
  | { readonly kind: 'page'; readonly path: string };

export interface ManifestRoute {
  readonly kind: 'manifest';
  readonly repository: Repository;
  /** The source host that `ns` named. */
  readonly namespace?: SourceHost | undefined;
  readonly reference: ManifestReference;
}

export interface BlobRoute {
  readonly kind: 'blob';
  readonly repository: Repository;
  /** The source host that `ns` named. */
  readonly namespace?: SourceHost | undefined;
  readonly digest: Digest;
}

export interface TagsRoute {
  readonly kind: 'tags';
  readonly repository: Repository;
  /** The repository as it stands in the request's path, and `ns` if it was given: for the answer and its `Link`. */
  readonly written: string;
  readonly namespace?: SourceHost | undefined;
  readonly limit: number | undefined;
  readonly after: Tag | undefined;
}

export interface ReferrersRoute {
  readonly kind: 'referrers';
  readonly repository: Repository;
  /** The source host that `ns` named. */
  readonly namespace?: SourceHost | undefined;
  readonly digest: Digest;
  readonly artifactType: string | undefined;
}

/** Which source hosts a request may name, and which is meant when it names none. */
export interface HostRules {
  readonly defaultHost: SourceHost;
  readonly isAllowedHost: (host: SourceHost) => boolean;
}

/** A page of tags is at most this long: a client cannot make us hold more by asking for it. */
const TAGS_MAX = 10_000;

export function allowedHost(text: string, rules: HostRules): SourceHost {
  const host = parseSourceHost(text);
  if (host === undefined) throw new RegistryError('NAME_INVALID', 'malformed source host');
  if (host !== rules.defaultHost && !rules.isAllowedHost(host)) {
    throw new HostNotAllowedError(host);
  }
  return host;
}

/** The repository meant by a name in the path: of the host in `ns`, of the host that leads the name, or the default one. */
export function repositoryOf(
  written: string,
  sourceHost: SourceHost | undefined,
  rules: HostRules,
): Repository {
  const slash = written.indexOf('/');
  const first = slash < 0 ? '' : written.slice(0, slash);
  const leads = first !== '' && looksLikeHost(first);
  // With `ns` the name is taken as it is, unless a path prefix only says the same host again.
  const isPrefixed = leads && (sourceHost === undefined || parseSourceHost(first) === sourceHost);
  const host = sourceHost ?? (isPrefixed ? allowedHost(first, rules) : rules.defaultHost);
  const name = parseRepositoryName(isPrefixed ? written.slice(slash + 1) : written);
  if (name === undefined) throw new RegistryError('NAME_INVALID', 'malformed repository name');
  return repositoryAt(host, name);
}

export function digestIn(text: string): Digest {
  const digest = parseDigest(text);
  if (digest === undefined) throw new RegistryError('DIGEST_INVALID', 'malformed digest');
  return digest;
}

export function referenceIn(text: string): ManifestReference {
  const reference = parseManifestReference(text);
  if (reference !== undefined) return reference;
  if (text.includes(':')) throw new RegistryError('DIGEST_INVALID', 'malformed digest');
  // No registry can have it: the spec knows 404 only, and the conformance suite asks for `.INVALID_MANIFEST_NAME`.
  throw new RegistryError('MANIFEST_UNKNOWN', 'malformed tag');
}

function pageBounds({ n, last }: Query): { limit: number | undefined; after: Tag | undefined } {
  if (n !== undefined && !/^\d{1,15}$/.test(n)) {
    throw new RegistryError('PAGINATION_NUMBER_INVALID', 'n is to be a number of tags');
  }
  const after = last === undefined || last === '' ? undefined : parseTag(last);
  if (last && after === undefined) throw new RegistryError('TAG_INVALID', 'last is to be a tag');
  return { limit: n === undefined ? undefined : Math.min(Number(n), TAGS_MAX), after };
}

function artifactTypeIn({ artifactType }: Query): string | undefined {
  if (artifactType === undefined || artifactType === '') return undefined;
  if (isMediaType(artifactType)) return artifactType;
  throw new RegistryError('UNSUPPORTED', 'artifactType is to be a media type', { status: 400 });
}

function parseResource(path: string, query: Query, rules: HostRules): Route | undefined {
  // From the right: a repository's name may have components called `manifests`, `blobs` or `tags`.
  const lastSlash = path.lastIndexOf('/');
  const kindSlash = path.lastIndexOf('/', lastSlash - 1);
  if (kindSlash < 0) return undefined;
  const written = path.slice(0, kindSlash);
  const last = path.slice(lastSlash + 1);
  const sourceHost = query.ns === undefined ? undefined : allowedHost(query.ns, rules);
  const repository = () => repositoryOf(written, sourceHost, rules);
  switch (path.slice(kindSlash + 1, lastSlash)) {
    case 'manifests':
      return {
        kind: 'manifest',
        repository: repository(),
        namespace: sourceHost,
        reference: referenceIn(last),
      };
    case 'blobs':
      return { kind: 'blob', repository: repository(), namespace: sourceHost, digest: digestIn(last) };
    case 'referrers':
      return {
        kind: 'referrers',
        repository: repository(),
        namespace: sourceHost,
        digest: digestIn(last),
        artifactType: artifactTypeIn(query),
      };
    case 'tags':
      if (last !== 'list') return undefined;
      return { kind: 'tags', repository: repository(), written, namespace: sourceHost, ...pageBounds(query) };
    default:
      return undefined;
  }
}

/**
 * What the raw request target asks for. It is refused when malformed, never cleaned: a path is compared as it was sent,
 * and a name with `%`, `..`, `//` or upper case is none.
 * @throws {RegistryError} NAME_INVALID, DIGEST_INVALID, MANIFEST_UNKNOWN, PAGINATION_NUMBER_INVALID; DENIED for a source host
 * that is not allowed; UNSUPPORTED with 404 for a path that is not of the API, with 400 for a malformed query.
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#endpoints
 */
export function parseRoute(target: string, rules: HostRules): Route {
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : target.slice(0, mark);
  if (path === '/v2/' || path === '/v2') return { kind: 'ping' };
  if (!path.startsWith('/v2/')) return { kind: 'page', path };
  const query = parseQuery(mark < 0 ? '' : target.slice(mark + 1));
  const route = parseResource(path.slice('/v2/'.length), query, rules);
  if (route) return route;
  throw new RegistryError('UNSUPPORTED', 'there is nothing at this path', { status: 404 });
}
