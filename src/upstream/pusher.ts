import { Transform, type Writable } from 'node:stream';
import { hostOf, portOf } from '../lib/url.ts';
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
import { pushScopeOf } from './auth/challenge.ts';
import { NO_CREDENTIALS } from './auth/credentials.ts';
import { createTokenCache } from './auth/token.ts';
import { connectTo, type UpstreamOptions } from './client.ts';
import { isListed } from './endpoint.ts';
import { fromNetworkError, isAbort, pushFailure } from './errors.ts';
import { locationOf } from './http/redirect.ts';
import { drain } from './http/response-reader.ts';
import { type Outgoing, type Reply, type Transport, USER_AGENT } from './http/transport.ts';
import { createResolvers } from './net/resolver.ts';
import { apiRootOf, DEFAULT_TIMEOUTS } from './settings.ts';

/** What became of a blob: it was in the repository, came there from another one of the same registry, or was sent. */
export type PushOutcome = 'there' | 'mounted' | 'sent';

/** A blob to be brought into a repository. */
interface BlobToPublish {
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** A repository of the same registry that has it. */
  readonly from: Repository | undefined;
  /** Writes its bytes, and rejects unless they have the digest; called at most once, and only when they are needed. */
  readonly write: (sink: Writable) => Promise<void>;
}

/**
 * Writes to registries.
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

interface Host {
  readonly root: URL;
  readonly authorize: Authorizer;
  readonly transport: Transport;
}

interface Request {
  readonly method: Outgoing['method'];
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** Called for each attempt; a stream can be had only once, and throws the second time. */
  readonly body?: () => Outgoing['body'];
  readonly accepts: readonly number[];
  /** For messages: what is written or asked for. */
  readonly what: string;
}

/** An upload is answered when all of it has arrived and been checked, in milliseconds. */
const UPLOAD_MS = 30 * 60 * 1000;

async function ask({ root, authorize, transport }: Host, repository: Repository, request: Request) {
  const { method, url, headers, body, accepts, what } = request;
  const attempt = (authorization: string | undefined): Promise<Reply> => {
    // Where a registry has uploads sent elsewhere, that place has no business with its login.
    const isOwn = url.origin === root.origin && authorization !== undefined;
    return transport.send({
      method,
      url,
      headers: { 'user-agent': USER_AGENT, ...headers, ...(isOwn ? { authorization } : {}) },
      body: body?.(),
      ...(method === 'PUT' ? { headMs: UPLOAD_MS } : {}),
    });
  };
  let reply: Reply;
  try {
    reply = await authorize(repository.name, attempt);
  } catch (error) {
    if (isAbort(error)) throw error;
    throw fromNetworkError(error, root.host);
  }
  if (accepts.includes(reply.status)) return reply;
  throw await pushFailure(reply, what);
}

/** What `write` writes, as a stream; its failure becomes the stream's. A second call is refused. */
function streamOnce(write: BlobToPublish['write'], what: string): () => Transform {
  let isTaken = false;
  return () => {
    if (isTaken) throw new RegistryError('UNAUTHORIZED', `the login was refused in the middle of ${what}`);
    isTaken = true;
    // Copied: a chunk's memory is the source's again once it is written.
    const stream = new Transform({
      transform: (chunk: Buffer, _encoding, done) => done(null, Buffer.from(chunk)),
    });
    write(stream).then(
      () => stream.end(),
      (error: Error) => stream.destroy(error),
    );
    return stream;
  };
}

/** Starts an upload, or has the registry take the blob from another repository; undefined: that was enough. */
async function startUpload(host: Host, repository: Repository, blob: BlobToPublish, what: string) {
  const start = (from: Repository | undefined) => {
    const url = new URL(`${host.root.href}/${repository.name}/blobs/uploads/`);
    if (from !== undefined) {
      url.searchParams.set('mount', blob.digest);
      url.searchParams.set('from', from.name);
    }
    const headers = { 'content-length': '0' };
    return ask(host, repository, { method: 'POST', url, headers, accepts: [201, 202], what });
  };
  // Some registries refuse a mount they do not allow instead of falling back to an upload.
  const reply =
    blob.from === undefined ? await start(undefined) : await start(blob.from).catch(() => start(undefined));
  drain(reply);
  return reply.status === 201 && blob.from !== undefined ? undefined : locationOf(reply);
}

async function publishBlob(host: Host, repository: Repository, blob: BlobToPublish): Promise<PushOutcome> {
  const name = `${formatRepository(repository)}@${blob.digest}`;
  const there = await ask(host, repository, {
    method: 'HEAD',
    url: new URL(`${host.root.href}/${repository.name}/blobs/${blob.digest}`),
    accepts: [200, 404],
    what: `the question whether it has ${name}`,
  });
  drain(there);
  if (there.status === 200) return 'there';
  const what = `the upload of ${name}`;
  const location = await startUpload(host, repository, blob, what);
  if (location === undefined) return 'mounted';
  location.searchParams.set('digest', blob.digest);
  const done = await ask(host, repository, {
    method: 'PUT',
    url: location,
    headers: { 'content-type': 'application/octet-stream', 'content-length': String(blob.sizeBytes) },
    body: streamOnce(blob.write, what),
    accepts: [201],
    what,
  });
  drain(done);
  return 'sent';
}

async function publishManifest(
  host: Host,
  repository: Repository,
  reference: ManifestReference,
  { mediaType, bytes }: { readonly mediaType: string; readonly bytes: Buffer },
): Promise<void> {
  const name = formatReference(repository, reference);
  const reply = await ask(host, repository, {
    method: 'PUT',
    url: new URL(`${host.root.href}/${repository.name}/manifests/${formatManifestReference(reference)}`),
    headers: { 'content-type': mediaType, 'content-length': String(bytes.length) },
    body: () => bytes,
    accepts: [201],
    what: `the manifest ${name}`,
  });
  drain(reply);
  const said = parseDigest(reply.headers['docker-content-digest'] ?? '');
  if (said?.startsWith('sha256:') && said !== digestOf(bytes)) {
    throw new RegistryError('UNAVAILABLE', `${reply.url.host} stored something else as ${name}: ${said}`);
  }
}

/**
 * A publisher for the hosts that `registryFor` allows. Of a chain of endpoints the last one, the authority, is written to.
 * Every method rejects with a RegistryError.
 */
export function createPusher(options: UpstreamOptions): Pusher {
  const { registryFor, now, credentials = NO_CREDENTIALS, log = () => {} } = options;
  const hosts = new Map<SourceHost, Host>();
  const resolverFor = createResolvers();

  function openHost(host: SourceHost): Host {
    const settings = registryFor(host);
    const endpoint = settings?.endpoints.at(-1);
    if (settings === undefined || endpoint === undefined) {
      throw new RegistryError('DENIED', `${host} is not among the registries that may be written to`);
    }
    const { transport } = connectTo(settings, { ...options, resolve: resolverFor() });
    const root = apiRootOf(endpoint.url);
    const timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
    const authorize = createAuthorizer({
      root,
      registry: parseSourceHost(root.host) ?? root.host,
      credentials,
      // Of its own: a token for a pull under the same key would be refused first, every time.
      tokens: createTokenCache({ send: transport.send, timeouts, now }),
      isTrusted: (realm) => isListed(endpoint.trustedHosts, hostOf(realm), portOf(realm)),
      warn: (message) => log('warning', 'credential-problem', message, { registry: host }),
      scopeOf: pushScopeOf,
    });
    return { root, authorize, transport };
  }

  function hostFor({ host }: Repository): Host {
    const known = hosts.get(host) ?? openHost(host);
    hosts.set(host, known);
    return known;
  }

  return {
    blob: async (repository, blob) => publishBlob(hostFor(repository), repository, blob),
    manifest: async (repository, reference, manifest) =>
      publishManifest(hostFor(repository), repository, reference, manifest),
    close: async () => {
      await Promise.all([...hosts.values()].map(({ transport }) => transport.close()));
    },
  };
}
