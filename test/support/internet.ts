import { createServer, request as forward } from 'node:http';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import type { UpstreamOptions } from '../../src/upstream/client.ts';
import { createAuthority } from './certificates.ts';
import { type Handler, type RecordedRequest, startServer } from './hostile-registry.ts';
import { listenOnLoopback } from './loopback.ts';
import { afterTest, closing } from './upstream.ts';

/** An HTTP proxy on loopback that tunnels (CONNECT) and forwards (absolute form) as it is told. */
export interface TestProxy {
  readonly url: string;
  readonly port: number;
  /** Every request line's target, oldest first: `HOST:PORT` of tunnels, URLs of forwarded requests. */
  readonly targets: readonly string[];
  readonly logins: readonly (string | undefined)[];
  close(): Promise<void>;
}

/** @param portFor where a tunnel to `HOST:PORT` really leads; undefined refuses it with 403 */
export async function startProxy(portFor: (authority: string) => number | undefined): Promise<TestProxy> {
  const targets: string[] = [];
  const logins: (string | undefined)[] = [];
  const open = new Set<Duplex>();
  const track = <Stream extends Duplex>(stream: Stream): Stream => {
    open.add(stream.on('error', () => {}).once('close', () => open.delete(stream)) as Stream);
    return stream;
  };
  const server = createServer((request, response) => {
    const { url = '', method = '', headers } = request;
    targets.push(url);
    logins.push(headers['proxy-authorization']);
    const { host, pathname, search } = new URL(url);
    const port = portFor(host);
    if (port === undefined) return void response.writeHead(403).end();
    const onward = { host: '127.0.0.1', port, path: `${pathname}${search}`, method, headers };
    const forwarded = forward(onward, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    forwarded.on('error', () => response.destroy()).end();
  });
  server.on('connection', track);
  server.on('connect', (request, client: Duplex, head: Buffer) => {
    targets.push(request.url ?? '');
    logins.push(request.headers['proxy-authorization']);
    const port = portFor(request.url ?? '');
    if (port === undefined) return void client.end('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n');
    const there = track(
      connect(port, '127.0.0.1', () => {
        client.write('HTTP/1.1 200 Connection established\r\n\r\n');
        there.write(head);
        there.pipe(client).pipe(there);
      }),
    );
    client.once('close', () => there.destroy());
    there.once('close', () => client.destroy());
  });
  const port = await listenOnLoopback(server);
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    targets,
    logins,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const stream of open) stream.destroy();
      }),
  };
}

/** Hosts of real names behind a proxy, over TLS with certificates of one authority: what an upstream client sees of the world. */
export interface Internet {
  /** How a client gets there. */
  readonly options: Pick<UpstreamOptions, 'proxy' | 'extraAuthorities'>;
  /** What `host` was asked, oldest first. */
  readonly asked: (host: string) => readonly RecordedRequest[];
  readonly proxy: TestProxy;
}

/** An internet of these hosts, gone after the test. */
export async function startInternet(hosts: Readonly<Record<string, Handler>>): Promise<Internet> {
  const authority = await createAuthority();
  afterTest(authority.remove);
  const certificate = await authority.issue(Object.keys(hosts));
  const server = closing(
    await startServer((request, response) => {
      const handler = hosts[request.headers.host ?? ''];
      if (handler) handler(request, response);
      else response.writeHead(421).end();
    }, certificate),
  );
  const proxy = closing(
    await startProxy((authorityName) => {
      const [host = '', port] = authorityName.split(':');
      return host in hosts && port === '443' ? server.port : undefined;
    }),
  );
  return {
    options: { proxy: { https: proxy.url }, extraAuthorities: [authority.certFile] },
    asked: (host) => server.requests.filter(({ headers }) => headers['host'] === host),
    proxy,
  };
}
