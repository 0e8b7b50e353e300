import { createHash, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { digestOf } from '../../src/oci/digest.ts';
import { listenOnLoopback } from './loopback.ts';

export interface WritableRegistry {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string;
  /** `METHOD /path?query`, oldest first. */
  readonly requests: readonly string[];
  /** The blobs, by `repository@digest`. */
  readonly blobs: Map<string, Buffer>;
  /** The manifests, by `repository@digest` and `repository:tag`. */
  readonly manifests: Map<string, { readonly mediaType: string; readonly bytes: Buffer }>;
  close(): Promise<void>;
}

export interface WritableRegistryOptions {
  /** The response to a mount: done, turned into an upload, or refused. */
  readonly mount?: 'done' | 'upload' | 'refused';
  /** Only clients with a push token may write. The token service is the registry's own. */
  readonly login?: { readonly username: string; readonly password: string };
}

function fail(
  response: ServerResponse,
  status: number,
  code: string,
  headers: Record<string, string> = {},
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify({ errors: [{ code, message: code.toLowerCase().replaceAll('_', ' ') }] }));
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** A registry in memory on a socket that accepts pushes as the distribution specification defines. */
export async function startWritableRegistry(
  options: WritableRegistryOptions = {},
): Promise<WritableRegistry> {
  const { mount = 'done', login } = options;
  const requests: string[] = [];
  const blobs: WritableRegistry['blobs'] = new Map();
  const manifests: WritableRegistry['manifests'] = new Map();
  const token = createHash('sha256').update(randomUUID()).digest('hex');

  function sendToken(request: IncomingMessage, response: ServerResponse, url: URL) {
    const basic = Buffer.from(`${login?.username}:${login?.password}`).toString('base64');
    if (request.headers.authorization !== `Basic ${basic}`) return fail(response, 401, 'UNAUTHORIZED');
    const isPush = url.searchParams.getAll('scope').some((scope) => scope.includes('push'));
    response.end(JSON.stringify({ token: isPush ? token : 'for-pulls-only' }));
  }

  function challenge(response: ServerResponse, repository: string): void {
    const realm = `http://127.0.0.1:${port}/token`;
    const scope = `repository:${repository}:pull,push`;
    fail(response, 401, 'UNAUTHORIZED', {
      'www-authenticate': `Bearer realm="${realm}",service="test",scope="${scope}"`,
    });
  }

  async function takeBlob(request: IncomingMessage, response: ServerResponse, name: string, url: URL) {
    const bytes = await bodyOf(request);
    const digest = url.searchParams.get('digest') ?? '';
    if (digestOf(bytes) !== digest) return fail(response, 400, 'DIGEST_INVALID');
    blobs.set(`${name}@${digest}`, bytes);
    response.writeHead(201, { location: `/v2/${name}/blobs/${digest}` }).end();
  }

  function startUpload(response: ServerResponse, name: string, url: URL) {
    const [digest, from] = [url.searchParams.get('mount'), url.searchParams.get('from')];
    const there = digest && from ? blobs.get(`${from}@${digest}`) : undefined;
    if (digest && mount === 'refused') return fail(response, 403, 'DENIED');
    if (there && mount === 'done') {
      blobs.set(`${name}@${digest}`, there);
      return void response.writeHead(201, { location: `/v2/${name}/blobs/${digest}` }).end();
    }
    response.writeHead(202, { location: `/v2/${name}/blobs/uploads/${randomUUID()}?_state=x` }).end();
  }

  async function takeManifest(request: IncomingMessage, response: ServerResponse, name: string, at: string) {
    const manifest = { mediaType: request.headers['content-type'] ?? '', bytes: await bodyOf(request) };
    const document = JSON.parse(manifest.bytes.toString()) as {
      readonly manifests?: readonly { readonly digest: string }[];
      readonly config?: { readonly digest: string };
      readonly layers?: readonly { readonly digest: string }[];
    };
    const parts = [document.config, ...(document.layers ?? [])].filter((part) => part !== undefined);
    const isWhole =
      parts.every(({ digest }) => blobs.has(`${name}@${digest}`)) &&
      (document.manifests ?? []).every(({ digest }) => manifests.has(`${name}@${digest}`));
    if (!isWhole) return fail(response, 404, 'MANIFEST_BLOB_UNKNOWN');
    const digest = digestOf(manifest.bytes);
    manifests.set(`${name}@${digest}`, manifest);
    if (at !== digest) manifests.set(`${name}:${at}`, manifest);
    response.writeHead(201, { 'docker-content-digest': digest }).end();
  }

  function send(request: IncomingMessage, response: ServerResponse, bytes: Buffer | undefined, type: string) {
    if (bytes === undefined) return fail(response, 404, 'NOT_FOUND');
    response.writeHead(200, {
      'content-type': type,
      'content-length': bytes.length,
      'docker-content-digest': digestOf(bytes),
    });
    response.end(request.method === 'HEAD' ? undefined : bytes);
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', 'http://registry.invalid');
    requests.push(`${request.method} ${request.url}`);
    if (url.pathname === '/token') return sendToken(request, response, url);
    const [, name = '', kind, at = ''] =
      /^\/v2\/(.+?)\/(blobs|manifests)\/(.+)$/.exec(url.pathname.replace(/\/$/, '/-')) ?? [];
    if (login && request.headers.authorization !== `Bearer ${token}`) {
      request.resume();
      return challenge(response, name);
    }
    if (request.method === 'POST') return startUpload(response, name, url);
    if (request.method === 'PUT' && kind === 'blobs') return takeBlob(request, response, name, url);
    if (request.method === 'PUT') return takeManifest(request, response, name, at);
    if (kind === 'blobs')
      return send(request, response, blobs.get(`${name}@${at}`), 'application/octet-stream');
    const manifest = manifests.get(`${name}${at.includes(':') ? '@' : ':'}${at}`);
    send(request, response, manifest?.bytes, manifest?.mediaType ?? '');
  }

  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  const port = await listenOnLoopback(server);
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    blobs,
    manifests,
    close: async () => {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}
