import type { UpstreamOptions } from '../../src/upstream/client.ts';
import { createAuthority } from './certificates.ts';
import { type Handler, type RecordedRequest, startServer } from './hostile-registry.ts';
import { startProxy, type TestProxy } from './proxy.ts';
import { afterTest, closing } from './upstream.ts';

/**
 * Hosts with public names behind a proxy, over TLS with certificates of one authority: the internet of an upstream
 * client.
 */
export interface Internet {
  /** The client options to reach it. */
  readonly options: Pick<UpstreamOptions, 'proxy' | 'extraAuthorities'>;
  /** The requests to `host`, oldest first. */
  readonly asked: (host: string) => readonly RecordedRequest[];
  readonly proxy: TestProxy;
}

/** Starts an internet of these hosts. It is closed after the test. */
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
