import { type Digest, parseDigest } from './digest.ts';

declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

/** The registry that an image name means: `docker.io`, `ghcr.io`, `localhost:5000`. */
export type SourceHost = Branded<'SourceHost'>;
/** The path of a repository within its registry: `library/alpine`. */
export type RepositoryName = Branded<'RepositoryName'>;
/** A mutable name of a manifest within a repository. */
export type Tag = Branded<'Tag'>;

/** A repository of a registry. */
export interface Repository {
  readonly host: SourceHost;
  readonly name: RepositoryName;
}

/** How a manifest is requested: by tag, or by the digest of its bytes. */
export type ManifestReference =
  | { readonly kind: 'tag'; readonly tag: Tag }
  | { readonly kind: 'digest'; readonly digest: Digest };

/** A complete image name. */
export interface ImageReference {
  readonly repository: Repository;
  readonly reference: ManifestReference;
}

// The grammar of the distribution specification, with the length limits of its reference implementation.
// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests
const NAME = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const NAME_MAX_CHARACTERS = 255;
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/;
const DNS_LABEL = '[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?';
const HOST = new RegExp(`^(?:${DNS_LABEL}(?:\\.${DNS_LABEL})*|\\[[0-9a-fA-F:.]+\\])(?::[0-9]{1,5})?$`);
const HOST_MAX_CHARACTERS = 261;

/** Docker Hub's name in image names. Its API is on another host (see upstream/settings.ts). */
export const DOCKER_HUB = 'docker.io' as SourceHost;
const HUB_ALIASES = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io']);

/**
 * Parses a repository name; undefined when it is invalid. Nothing is repaired: `..`, `//` and upper case are
 * invalid.
 */
export function parseRepositoryName(text: string): RepositoryName | undefined {
  return text.length <= NAME_MAX_CHARACTERS && NAME.test(text) ? (text as RepositoryName) : undefined;
}

/** Parses a tag; undefined when it is invalid. */
export function parseTag(text: string): Tag | undefined {
  return TAG.test(text) ? (text as Tag) : undefined;
}

/**
 * Parses a source host; undefined when it is invalid. The result is in lower case, has no default port (443 or 80),
 * and is `docker.io` for all names of Docker Hub.
 */
export function parseSourceHost(text: string): SourceHost | undefined {
  if (text.length > HOST_MAX_CHARACTERS || !HOST.test(text)) return undefined;
  const host = text.toLowerCase().replace(/:0*(?:443|80)$/, '');
  const port = /:(\d+)$/.exec(host)?.[1];
  if (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)) return undefined;
  return HUB_ALIASES.has(host) ? DOCKER_HUB : (host as SourceHost);
}

/** Parses a tag or a digest, which contains the colon that no tag has; undefined when it is invalid. */
export function parseManifestReference(text: string): ManifestReference | undefined {
  if (text.includes(':')) {
    const digest = parseDigest(text);
    return digest && { kind: 'digest', digest };
  }
  const tag = parseTag(text);
  return tag && { kind: 'tag', tag };
}

/** True when the first path component names a registry, by Docker's rule: it has a dot or a port, or is localhost. */
export function looksLikeHost(component: string): boolean {
  return component.includes('.') || component.includes(':') || component === 'localhost';
}

/** Splits an image name into the host, if its first component names one, and the path. */
export function splitHost(name: string): { readonly host: string | undefined; readonly path: string } {
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  return looksLikeHost(first)
    ? { host: first, path: name.slice(slash + 1) }
    : { host: undefined, path: name };
}

/** A repository on a host. On Docker Hub, a name of one component is below `library/`. */
export function repositoryAt(host: SourceHost, name: RepositoryName): Repository {
  return host === DOCKER_HUB && !name.includes('/')
    ? { host, name: `library/${name}` as RepositoryName }
    : { host, name };
}

/**
 * Parses an image name as people write it (`alpine`, `ghcr.io/a/b:v1`, `a/b@sha256:…`) and completes it by Docker's
 * rules: docker.io, `library/` and `latest` are implied. With tag and digest, the digest counts. Undefined when it
 * is invalid.
 */
export function parseImageReference(text: string): ImageReference | undefined {
  const at = text.indexOf('@');
  const digest = at < 0 ? undefined : parseDigest(text.slice(at + 1));
  if (at >= 0 && digest === undefined) return undefined;
  const named = at < 0 ? text : text.slice(0, at);
  const { host: written, path } = splitHost(named);
  const host = written === undefined ? DOCKER_HUB : parseSourceHost(written);
  const colon = path.lastIndexOf(':');
  const name = parseRepositoryName(colon < 0 ? path : path.slice(0, colon));
  const tag = parseTag(colon < 0 ? 'latest' : path.slice(colon + 1));
  if (host === undefined || name === undefined || tag === undefined) return undefined;
  return {
    repository: repositoryAt(host, name),
    reference: digest ? { kind: 'digest', digest } : { kind: 'tag', tag },
  };
}

/** True when host and name are equal. The parsers have normalized both. */
export function isSameRepository(a: Repository, b: Repository): boolean {
  return a.host === b.host && a.name === b.name;
}

/** Formats a repository: `docker.io/library/alpine`. */
export function formatRepository(repository: Repository): string {
  return `${repository.host}/${repository.name}`;
}

/** Formats a tag or digest as in a URL: `latest`, `sha256:…`. */
export function formatManifestReference(reference: ManifestReference): string {
  return reference.kind === 'tag' ? reference.tag : reference.digest;
}

/** Formats a reference: `docker.io/library/alpine:latest`, `docker.io/library/alpine@sha256:…`. */
export function formatReference(repository: Repository, reference: ManifestReference): string {
  const separator = reference.kind === 'tag' ? ':' : '@';
  return `${formatRepository(repository)}${separator}${formatManifestReference(reference)}`;
}
