import { createServer, request as forward } from 'node:http';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { listenOnLoopback } from './loopback.ts';

/** An HTTP proxy on loopback that tunnels (CONNECT) and forwards (absolute form). */
export interface TestProxy {
  readonly url: string;
  readonly port: number;
  /** Every request line's target, oldest first: `HOST:PORT` of tunnels, URLs of forwarded requests. */
  readonly targets: readonly string[];
  readonly logins: readonly (string | undefined)[];
  close(): Promise<void>;
}

/** @param portFor the port that a tunnel to `HOST:PORT` is connected to; undefined refuses it with 403 */
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
