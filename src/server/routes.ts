import { pathIn, queryIn } from '../lib/url.ts';
import { type Digest, parseDigest } from '../oci/digest.ts';
import { isMediaType } from '../oci/media-type.ts';
import type { WriteRoute } from '../oci/push.ts';
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
import { RegistryError } from '../oci/registry-error.ts';

const KNOWN = ['ns', 'n', 'last', 'artifactType', 'digest', 'mount', 'from'] as const;

/**
 * The API's query parameters, percent-decoded. `+` stays `+`: no value contains a space, but media types contain
 * `+`.
 */
type Query = { readonly [Name in (typeof KNOWN)[number]]?: string };

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
 * Parses a query string. Unknown parameters are ignored.
 * @throws {RegistryError} UNSUPPORTED with 400 for a malformed escape, or for a parameter that has two different
 * values.
 */
function parseQuery(text: string): Query {
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

/** A parsed request target. No later code parses it again. */
export type Route =
  | { readonly kind: 'ping' }
  | ManifestRoute
  | BlobRoute
  | TagsRoute
  | ReferrersRoute
  /** Anything outside the registry API: the status pages. */
  | { readonly kind: 'page'; readonly path: string };

export interface ManifestRoute {
  readonly kind: 'manifest';
  readonly repository: Repository;
  /** The source host in `ns`. */
  readonly namespace?: SourceHost | undefined;
  readonly reference: ManifestReference;
}

export interface BlobRoute {
  readonly kind: 'blob';
  readonly repository: Repository;
  /** The source host in `ns`. */
  readonly namespace?: SourceHost | undefined;
  readonly digest: Digest;
}

export interface TagsRoute {
  readonly kind: 'tags';
  readonly repository: Repository;
  /** The repository as written in the path, for the answer and its `Link` header. */
  readonly written: string;
  readonly namespace?: SourceHost | undefined;
  readonly limit: number | undefined;
  readonly after: Tag | undefined;
}

export interface ReferrersRoute {
  readonly kind: 'referrers';
  readonly repository: Repository;
  /** The source host in `ns`. */
  readonly namespace?: SourceHost | undefined;
  readonly digest: Digest;
  readonly artifactType: string | undefined;
}

/** The largest page of tags that a client may request. */
const TAGS_MAX = 10_000;

function hostIn(text: string): SourceHost {
  const host = parseSourceHost(text);
  if (host === undefined) throw new RegistryError('NAME_INVALID', 'malformed source host');
  return host;
}

/**
 * The repository that a name in the path means: on the host in `ns`, on the host that the name begins with, or on
 * the default host.
 */
function repositoryOf(
  written: string,
  sourceHost: SourceHost | undefined,
  defaultHost: SourceHost,
): Repository {
  const slash = written.indexOf('/');
  const first = slash < 0 ? '' : written.slice(0, slash);
  const leads = first !== '' && looksLikeHost(first);
  // With `ns` the name is used unchanged, except for a first component that repeats the host.
  const isPrefixed = leads && (sourceHost === undefined || parseSourceHost(first) === sourceHost);
  const host = sourceHost ?? (isPrefixed ? hostIn(first) : defaultHost);
  const name = parseRepositoryName(isPrefixed ? written.slice(slash + 1) : written);
  if (name === undefined) throw new RegistryError('NAME_INVALID', 'malformed repository name');
  return repositoryAt(host, name);
}

function digestIn(text: string): Digest {
  const digest = parseDigest(text);
  if (digest === undefined) throw new RegistryError('DIGEST_INVALID', 'malformed digest');
  return digest;
}

function referenceIn(text: string): ManifestReference {
  const reference = parseManifestReference(text);
  if (reference !== undefined) return reference;
  if (text.includes(':')) throw new RegistryError('DIGEST_INVALID', 'malformed digest');
  // No registry can have such a tag, and the specification defines only 404 for it. The conformance suite requests
  // `.INVALID_MANIFEST_NAME`.
  throw new RegistryError('MANIFEST_UNKNOWN', 'malformed tag');
}

function pageBounds({ n, last }: Query): { limit: number | undefined; after: Tag | undefined } {
  if (n !== undefined && !/^\d{1,15}$/.test(n)) {
    throw new RegistryError('PAGINATION_NUMBER_INVALID', 'n must be a number of tags');
  }
  const after = last === undefined || last === '' ? undefined : parseTag(last);
  if (last && after === undefined) throw new RegistryError('TAG_INVALID', 'last must be a tag');
  return { limit: n === undefined ? undefined : Math.min(Number(n), TAGS_MAX), after };
}

function artifactTypeIn({ artifactType }: Query): string | undefined {
  if (artifactType === undefined || artifactType === '') return undefined;
  if (isMediaType(artifactType)) return artifactType;
  throw new RegistryError('UNSUPPORTED', 'artifactType must be a media type', { status: 400 });
}

function parseResource(path: string, query: Query, defaultHost: SourceHost): Route | undefined {
  // Parsed from the end, because a repository name may contain the components `manifests`, `blobs` or `tags`.
  const lastSlash = path.lastIndexOf('/');
  const kindSlash = path.lastIndexOf('/', lastSlash - 1);
  if (kindSlash < 0) return undefined;
  const written = path.slice(0, kindSlash);
  const last = path.slice(lastSlash + 1);
  const sourceHost = query.ns === undefined ? undefined : hostIn(query.ns);
  const repository = () => repositoryOf(written, sourceHost, defaultHost);
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
 * Parses a request target. A malformed target is refused, not repaired: the path is compared as sent, so a name
 * with `%`, `..`, `//` or upper case is invalid. Whether the source host is allowed is for `gateOfHosts` to say,
 * after the login was checked.
 * @param defaultHost the source host of a target that names none
 * @throws {RegistryError} NAME_INVALID, DIGEST_INVALID, MANIFEST_UNKNOWN, PAGINATION_NUMBER_INVALID; UNSUPPORTED
 * with 404 for a path outside the API, with 400 for a malformed query.
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#endpoints
 */
export function parseRoute(target: string, defaultHost: SourceHost): Route {
  const path = pathIn(target);
  if (path === '/v2/' || path === '/v2') return { kind: 'ping' };
  if (!path.startsWith('/v2/')) return { kind: 'page', path };
  const query = parseQuery(queryIn(target));
  const route = parseResource(path.slice('/v2/'.length), query, defaultHost);
  if (route) return route;
  throw new RegistryError('UNSUPPORTED', 'there is nothing at this path', { status: 404 });
}

/** Limits of remembered targets, in number and in characters each: a lazy reader repeats one thousands of times. */
const REMEMBERED_MAX = 256;
const REMEMBERED_CHARACTERS = 1024;

/** Returns a parser for targets of blobs. It returns undefined for any other target, and for an invalid one. */
export function createBlobRouteReader(defaultHost: SourceHost): (target: string) => BlobRoute | undefined {
  const routes = new Map<string, BlobRoute>();
  return (target) => {
    const known = routes.get(target);
    if (known !== undefined) return known;
    try {
      const route = parseRoute(target, defaultHost);
      if (route.kind !== 'blob') return undefined;
      if (routes.size >= REMEMBERED_MAX) routes.clear();
      if (target.length <= REMEMBERED_CHARACTERS) routes.set(target, route);
      return route;
    } catch (error) {
      if (error instanceof RegistryError) return undefined;
      throw error;
    }
  };
}

/** `NAME/blobs/uploads/` and `NAME/blobs/uploads/SESSION`. No repository name matches. */
const UPLOAD = /^\/v2\/(.+)\/blobs\/uploads(?:\/([A-Za-z0-9_-]*))?$/;
const MANIFEST = /^\/v2\/(.+)\/manifests\/([^/]+)$/;
const UPLOAD_METHODS = ['PATCH', 'PUT', 'GET', 'DELETE'];

function notAllowed(allow: string): RegistryError {
  return new RegistryError('UNSUPPORTED', `this path takes ${allow} only`, { headers: { allow } });
}

function mountIn({ mount, from }: Query, defaultHost: SourceHost) {
  // A mount without `from` is ignored: a registry's answer could reveal blobs of any repository.
  if (mount === undefined || from === undefined) return undefined;
  return { digest: digestIn(mount), from: repositoryOf(from, undefined, defaultHost) };
}

/** True when the request belongs to a push. A GET of an upload's state does. */
export function isPush(method: string, path: string): boolean {
  return UPLOAD.test(path) || (method === 'PUT' && MANIFEST.test(path));
}

/**
 * Parses a request of a push.
 * @throws {RegistryError} as `parseRoute` does; UNSUPPORTED with 405 for another method, with 404 for another path.
 */
export function parseWriteRoute(method: string, target: string, defaultHost: SourceHost): WriteRoute {
  const path = pathIn(target);
  const query = parseQuery(queryIn(target));
  const namespace = query.ns === undefined ? undefined : hostIn(query.ns);
  const digest = query.digest === undefined ? undefined : digestIn(query.digest);
  const targetOf = (written: string) => ({
    repository: repositoryOf(written, namespace, defaultHost),
    written,
    namespace,
  });
  const [, uploading, session = ''] = UPLOAD.exec(path) ?? [];
  if (uploading !== undefined && session === '') {
    if (method !== 'POST') throw notAllowed('POST');
    return { kind: 'begin-upload', ...targetOf(uploading), digest, mount: mountIn(query, defaultHost) };
  }
  if (uploading !== undefined) {
    if (!UPLOAD_METHODS.includes(method)) throw notAllowed(UPLOAD_METHODS.join(', '));
    return { kind: 'upload', ...targetOf(uploading), session, digest };
  }
  const [, written, reference = ''] = MANIFEST.exec(path) ?? [];
  if (written === undefined)
    throw new RegistryError('UNSUPPORTED', 'this path takes no uploads', { status: 404 });
  if (method !== 'PUT') throw notAllowed('GET, HEAD, PUT');
  return { kind: 'manifest', ...targetOf(written), reference: referenceIn(reference) };
}
