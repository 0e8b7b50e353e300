import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer as createTcpServer, type Server, type Socket } from 'node:net';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { parseRange, resolveRange } from '../../src/oci/range.ts';
import { parseSourceHost, type SourceHost } from '../../src/oci/reference.ts';
import { listenOnLoopback } from './loopback.ts';

/** A server on loopback that records its requests. */
export interface TestServer {
  /** `http://127.0.0.1:PORT`. */
  readonly url: string;
  readonly port: number;
  /** `127.0.0.1:PORT`, as in an image name. */
  readonly host: SourceHost;
  /** Every request so far, oldest first. */
  readonly requests: readonly RecordedRequest[];
  /** Connections that are open, and all that were opened. */
  readonly connections: () => { readonly open: number; readonly made: number };
  close(): Promise<void>;
}

export interface RecordedRequest {
  readonly method: string;
  /** The request target as received, with its query. */
  readonly target: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

export type Handler = (
  request: IncomingMessage & { readonly body: string },
  response: ServerResponse,
) => void;

export interface ServerTls {
  readonly cert: string;
  readonly key: string;
  /** The authority whose client certificate the server requests. */
  readonly clientAuthority?: string;
}

async function start(
  server: Server,
  scheme: string,
  requests: readonly RecordedRequest[],
  name = '127.0.0.1',
): Promise<TestServer> {
  const sockets = new Set<Socket>();
  let made = 0;
  server.on('connection', (socket) => {
    made += 1;
    sockets.add(socket);
    socket.on('error', () => {}).once('close', () => sockets.delete(socket));
  });
  const port = await listenOnLoopback(server);
  const host = parseSourceHost(`${name}:${port}`);
  if (host === undefined) throw new Error(`${name} is not a host`);
  return {
    url: `${scheme}://${name}:${port}`,
    port,
    host,
    requests,
    connections: () => ({ open: sockets.size, made }),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** An HTTP server, or HTTPS with a certificate. `name` is the host name in its URL. */
export function startServer(handler: Handler, tls?: ServerTls, name?: string): Promise<TestServer> {
  const requests: RecordedRequest[] = [];
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    response.on('error', () => {});
    const chunks: Buffer[] = [];
    request.on('error', () => {}).on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString();
      const { method = '', url = '', headers } = request;
      requests.push({ method, target: url, headers, body });
      handler(Object.assign(request, { body }), response);
    });
  };
  if (tls === undefined) return start(createHttpServer(listener), 'http', requests, name);
  const { cert, key, clientAuthority } = tls;
  const mutual = clientAuthority === undefined ? {} : { ca: clientAuthority, requestCert: true };
  return start(createHttpsServer({ cert, key, ...mutual }, listener), 'https', requests, name);
}

/** A TCP server that reads a request's head and may then send anything, HTTP or not. */
export function startRawServer(answer: (socket: Socket, head: string) => void): Promise<TestServer> {
  const requests: RecordedRequest[] = [];
  const server = createTcpServer((socket) => {
    let head = '';
    socket
      .on('error', () => {})
      .on('data', (data) => {
        head += data.toString('latin1');
        if (!head.includes('\r\n\r\n')) return;
        const [method = '', target = ''] = head.split(' ', 2);
        const lines = head.split('\r\n').slice(1);
        const headers = Object.fromEntries(
          lines
            .filter((line) => line.includes(':'))
            .map((line) => [
              line.slice(0, line.indexOf(':')).toLowerCase(),
              line.slice(line.indexOf(':') + 1).trim(),
            ]),
        );
        requests.push({ method, target, headers, body: '' });
        const asked = head;
        head = '';
        answer(socket, asked);
      });
  });
  return start(server, 'http', requests);
}

/** Content by digest and by tag, for any repository: the data of a correct registry. */
export interface Content {
  readonly blobs: Map<string, Buffer>;
  readonly manifests: Map<string, { readonly mediaType: string; readonly bytes: Buffer }>;
  readonly tags: Set<string>;
  putBlob(bytes: Buffer): Digest;
  putManifest(document: object | Buffer, mediaType: string, tag?: string): Digest;
}

export function createContent(): Content {
  const content: Content = {
    blobs: new Map(),
    manifests: new Map(),
    tags: new Set(),
    putBlob: (bytes) => {
      const digest = digestOf(bytes);
      content.blobs.set(digest, bytes);
      return digest;
    },
    putManifest: (document, mediaType, tag) => {
      const bytes = Buffer.isBuffer(document) ? document : Buffer.from(JSON.stringify(document));
      const digest = digestOf(bytes);
      content.manifests.set(digest, { mediaType, bytes });
      if (tag !== undefined) {
        content.manifests.set(tag, { mediaType, bytes });
        content.tags.add(tag);
      }
      return digest;
    },
  };
  return content;
}

function fail(response: ServerResponse, status: number, code: string): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify({ errors: [{ code, message: code }] }));
}

function sendBlob(request: IncomingMessage, response: ServerResponse, bytes: Buffer | undefined): void {
  if (bytes === undefined) {
    fail(response, 404, 'BLOB_UNKNOWN');
    return;
  }
  const asked = request.headers.range === undefined ? undefined : parseRange(request.headers.range);
  const range = asked && resolveRange(asked, bytes.length);
  if (range === 'unsatisfiable') {
    response.writeHead(416, { 'content-range': `bytes */${bytes.length}` });
    response.end();
    return;
  }
  const part = range ? bytes.subarray(range.start, range.end) : bytes;
  response.writeHead(range ? 206 : 200, {
    'content-type': 'application/octet-stream',
    'content-length': part.length,
    ...(range ? { 'content-range': `bytes ${range.start}-${range.end - 1}/${bytes.length}` } : {}),
  });
  response.end(request.method === 'HEAD' ? undefined : part);
}

/** The responses of a correct registry: manifests, blobs with ranges, tags and referrers, without authentication. */
export function serveContent(content: Content): Handler {
  return (request, response) => {
    const url = new URL(request.url ?? '', 'http://registry.invalid');
    const [, kind, name = ''] = /\/(manifests|blobs|tags|referrers)\/([^/]+)$/.exec(url.pathname) ?? [];
    if (url.pathname.endsWith('/v2/')) return void response.writeHead(200).end('{}');
    if (kind === 'blobs') return sendBlob(request, response, content.blobs.get(name));
    if (kind === 'tags') {
      response.writeHead(200, { 'content-type': 'application/json' });
      return void response.end(JSON.stringify({ name: 'any', tags: [...content.tags] }));
    }
    const manifest = kind === 'manifests' ? content.manifests.get(name) : undefined;
    if (manifest === undefined) return fail(response, 404, 'MANIFEST_UNKNOWN');
    response.writeHead(200, {
      'content-type': manifest.mediaType,
      'content-length': manifest.bytes.length,
      'docker-content-digest': digestOf(manifest.bytes),
    });
    response.end(request.method === 'HEAD' ? undefined : manifest.bytes);
  };
}
