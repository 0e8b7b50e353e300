import { Transform, type Writable } from 'node:stream';
import {
  containsLogin,
  hostOf,
  portOf,
  resolveReference,
  targetOf,
  type WebLocation,
  withQuery,
} from '../lib/url.ts';
import { type Digest, digestOf, parseDigest } from '../oci/digest.ts';
import {
  formatManifestReference,
  formatReference,
  formatRepository,
  type ManifestReference,
  parseSourceHost,
  type Repository,
  type SourceHost,
} from '../oci/reference.ts';
import { RegistryError } from '../oci/registry-error.ts';
import { type Authorizer, createAuthorizer } from './auth/authorizer.ts';
import { NO_CREDENTIALS } from './auth/credentials.ts';
import { createTokenCache, pushScopeOf } from './auth/token.ts';
import { type Connection, connectTo, type UpstreamOptions } from './client.ts';
import { isListed, ping } from './endpoint.ts';
import { fromNetworkError, isAbort, pushFailure } from './errors.ts';
import { drain, isRedirect, locationOf, RedirectError } from './http/reply.ts';
import { type Outgoing, type Reply, USER_AGENT } from './http/transport.ts';
import { createResolvers } from './net/resolver.ts';
import { apiRootOf, DEFAULT_TIMEOUTS } from './settings.ts';

/** The repository had the blob, or the registry mounted it from another repository, or MetaHub uploaded it. */
export type PushOutcome = 'exists' | 'mounted' | 'uploaded';

/** A blob to push to a repository. */
interface BlobToPublish {
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** A repository of the same registry that has the blob. */
  readonly from: Repository | undefined;
  /** Writes the bytes. Rejects unless they have the digest. Called again for a retry. */
  readonly write: (sink: Writable) => Promise<void>;
}

/**
 * Pushes content to registries.
 * @see https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#push
 */
export interface Pusher {
  blob(repository: Repository, blob: BlobToPublish): Promise<PushOutcome>;
  manifest(
    repository: Repository,
    reference: ManifestReference,
    manifest: { readonly mediaType: string; readonly bytes: Buffer },
  ): Promise<void>;
  close(): Promise<void>;
}

/** A registry to push to. */
export interface PushHost extends Connection {
  readonly root: URL;
  readonly authorize: Authorizer;
}

interface Request extends WebLocation {
  readonly method: Outgoing['method'];
  readonly headers?: Readonly<Record<string, string>>;
  /** Called for each try. */
  readonly body?: () => Buffer | Transform;
  /** What the request is, for error messages. */
  readonly what: string;
}

/** How long a registry may take to receive, verify and answer an upload, in milliseconds. */
export const UPLOAD_MS = 30 * 60 * 1000;
const HOPS_MAX = 5;

const isSuccess = ({ status }: Reply) => status >= 200 && status <= 299;

function at(root: URL, path: string): WebLocation {
  const url = new URL(`${root.href}${path}`);
  return { url, target: targetOf(url) };
}

/** Sends a request and follows redirects with the same method and body. */
async function sendFollowing(
  host: PushHost,
  request: Request,
  authorization: string | undefined,
): Promise<Reply> {
  const { method, headers, what } = request;
  let { url, target }: WebLocation = request;
  for (let hop = 0; ; hop += 1) {
    const body = request.body?.();
    // The login is for the registry, not for the storage that it redirects uploads to.
    const isOwn = url.origin === host.root.origin && authorization !== undefined;
    const reply = await host.transport.send({
      ...{ method, url, target, body },
      headers: { 'user-agent': USER_AGENT, ...headers, ...(isOwn ? { authorization } : {}) },
      ...(method === 'PUT' ? { headMs: UPLOAD_MS } : {}),
    });
    // Stops sending a body that the registry has refused or redirected.
    if (!isSuccess(reply) && body instanceof Transform) body.destroy();
    if (!isRedirect(reply)) return reply;
    const location = locationOf(reply);
    drain(reply);
    if (hop === HOPS_MAX)
      throw new RedirectError(`${host.root.host} redirected ${what} more than ${HOPS_MAX} times`);
    ({ url, target } = location);
  }
}

async function ask(host: PushHost, repository: Repository, request: Request): Promise<Reply> {
  try {
    return await host.authorize(repository.name, (authorization) =>
      sendFollowing(host, request, authorization),
    );
  } catch (error) {
    if (isAbort(error)) throw error;
    throw fromNetworkError(error, host.root.host);
  }
}

async function askForSuccess(host: PushHost, repository: Repository, request: Request): Promise<Reply> {
  const reply = await ask(host, repository, request);
  if (isSuccess(reply)) return reply;
  throw await pushFailure(reply, request.what);
}

/** What `write` writes, as a stream. It fails when `write` fails. */
function streamOf(write: BlobToPublish['write']): Transform {
  // Copies each chunk, because the source reuses its memory after the write.
  const stream = new Transform({
    transform: (chunk: Buffer, _encoding, done) => done(null, Buffer.from(chunk)),
  });
  write(stream).then(
    () => stream.end(),
    (error: Error) => stream.destroy(error),
  );
  return stream;
}

/**
 * Returns the location of an upload. If that leaves TLS, contains a login or cannot be reached, the registry's
 * host replaces its host.
 */
export async function reachableLocation(host: PushHost, said: WebLocation): Promise<WebLocation> {
  if (said.url.origin === host.root.origin) return said;
  const leavesTls = host.root.protocol === 'https:' && said.url.protocol !== 'https:';
  const isSound = /^https?:$/.test(said.url.protocol) && !containsLogin(said.url) && !leavesTls;
  if (isSound && (await host.reaches(said.url))) return said;
  return { url: host.root, target: said.target };
}

/**
 * The location where an upload continues. A registry behind a proxy may answer with its internal name or
 * without TLS, so an unreachable location is requested at the registry's configured host.
 */
async function uploadLocation(host: PushHost, reply: Reply): Promise<WebLocation> {
  const { url, target } = reply;
  const said = resolveReference(reply.headers['location'] ?? '', { url, target });
  if (said === undefined || reply.headers['location'] === undefined) {
    throw new RegistryError('UNAVAILABLE', `${url.host} began an upload without a valid Location header`);
  }
  return reachableLocation(host, said);
}

/** Starts an upload, or mounts the blob from another repository. Undefined: the blob was mounted. */
async function startUpload(host: PushHost, repository: Repository, blob: BlobToPublish, what: string) {
  const path = `/${repository.name}/blobs/uploads/`;
  const start = (from: Repository | undefined) => {
    const mount = from && new URLSearchParams({ mount: blob.digest, from: from.name }).toString();
    const { url, target } = at(host.root, path);
    const headers = { 'content-length': '0' };
    return askForSuccess(host, repository, {
      ...{ method: 'POST', url, target: withQuery(target, mount ?? ''), headers, what },
    });
  };
  // Some registries refuse a forbidden mount instead of starting an upload.
  const reply =
    blob.from === undefined ? await start(undefined) : await start(blob.from).catch(() => start(undefined));
  drain(reply);
  return reply.status === 201 && blob.from !== undefined ? undefined : uploadLocation(host, reply);
}

async function publishBlob(
  host: PushHost,
  repository: Repository,
  blob: BlobToPublish,
): Promise<PushOutcome> {
  const name = `${formatRepository(repository)}@${blob.digest}`;
  const existing = await ask(host, repository, {
    ...at(host.root, `/${repository.name}/blobs/${blob.digest}`),
    method: 'HEAD',
    what: `the request whether it has ${name}`,
  });
  drain(existing);
  // Only a success is conclusive: some registries, and their storage, do not support HEAD.
  if (isSuccess(existing)) return 'exists';
  const what = `the upload of ${name}`;
  const location = await startUpload(host, repository, blob, what);
  if (location === undefined) return 'mounted';
  const done = await askForSuccess(host, repository, {
    url: location.url,
    target: withQuery(location.target, `digest=${encodeURIComponent(blob.digest)}`),
    method: 'PUT',
    headers: { 'content-type': 'application/octet-stream', 'content-length': String(blob.sizeBytes) },
    body: () => streamOf(blob.write),
    what,
  });
  drain(done);
  return 'uploaded';
}

async function publishManifest(
  host: PushHost,
  repository: Repository,
  reference: ManifestReference,
  { mediaType, bytes }: { readonly mediaType: string; readonly bytes: Buffer },
): Promise<void> {
  const name = formatReference(repository, reference);
  const reply = await askForSuccess(host, repository, {
    ...at(host.root, `/${repository.name}/manifests/${formatManifestReference(reference)}`),
    method: 'PUT',
    headers: { 'content-type': mediaType, 'content-length': String(bytes.length) },
    body: () => bytes,
    what: `the manifest ${name}`,
  });
  drain(reply);
  const said = parseDigest(reply.headers['docker-content-digest'] ?? '');
  if (said?.startsWith('sha256:') && said !== digestOf(bytes)) {
    throw new RegistryError('UNAVAILABLE', `${reply.url.host} stored something else as ${name}: ${said}`);
  }
}

/** The registries to push to. Each is opened when it is first used. */
export interface PushHosts {
  /**
   * The last endpoint of the chain: the registry itself.
   * @throws {RegistryError} DENIED for a host that is not allowed
   */
  hostFor(repository: Repository): PushHost;
  close(): Promise<void>;
}

export function createPushHosts(options: UpstreamOptions): PushHosts {
  const { allowed, now, credentials = NO_CREDENTIALS, log = () => {} } = options;
  const hosts = new Map<SourceHost, PushHost>();
  const resolverFor = createResolvers();

  function openHost(host: SourceHost): PushHost {
    const settings = allowed.get(host);
    const endpoint = settings?.endpoints.at(-1);
    if (settings === undefined || endpoint === undefined) {
      throw new RegistryError('DENIED', `${host} is not among the registries that may be written to`);
    }
    const connection = connectTo(settings, { ...options, resolve: resolverFor() });
    const { transport } = connection;
    const root = apiRootOf(endpoint.url);
    const timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
    const authorize = createAuthorizer({
      root,
      registry: parseSourceHost(root.host) ?? root.host,
      credentials,
      // Pushes have their own cache: under the same key, a token for pulls would be sent first and refused.
      tokens: createTokenCache({ send: transport.send, timeouts, now }),
      isTrusted: (realm) => isListed(endpoint.trustedHosts, hostOf(realm), portOf(realm)),
      warn: (message) => log('warning', 'credential-problem', message, { registry: host }),
      scopeOf: pushScopeOf,
      now,
      ping: (signal) => ping(transport.send, root, signal),
    });
    return { ...connection, root, authorize };
  }

  function hostFor({ host }: Repository): PushHost {
    const known = hosts.get(host) ?? openHost(host);
    hosts.set(host, known);
    return known;
  }

  return {
    hostFor,
    close: async () => {
      await Promise.all([...hosts.values()].map(({ transport }) => transport.close()));
    },
  };
}

/** Creates a pusher for the `allowed` hosts. Its methods reject with a RegistryError. */
export function createPusher(options: UpstreamOptions): Pusher {
  const { hostFor, close } = createPushHosts(options);
  return {
    blob: async (repository, blob) => publishBlob(hostFor(repository), repository, blob),
    manifest: async (repository, reference, manifest) =>
      publishManifest(hostFor(repository), repository, reference, manifest),
    close,
  };
}
