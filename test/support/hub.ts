import { request } from 'node:http';
import { createServer } from 'node:https';
import { createAuthority } from './certificates.ts';
import { listenOnLoopback } from './loopback.ts';
import { startProxy } from './proxy.ts';
import type { Workplace } from './workplace.ts';

/** What a runtime takes for Docker Hub itself, with a certificate in its name, behind a proxy. */
export interface Hub {
  /** Makes a program reach it: the proxy, and the authority of the certificate. */
  readonly env: Readonly<Record<string, string>>;
  /** `METHOD /target` of each request, oldest first. */
  readonly requests: readonly string[];
}

/** @param registry `http://127.0.0.1:PORT` of what answers for it */
export async function startHub(workplace: Workplace, registry: string): Promise<Hub> {
  const authority = await createAuthority();
  const { cert, key } = await authority.issue(['registry-1.docker.io', 'auth.docker.io', 'index.docker.io']);
  const requests: string[] = [];
  const server = createServer({ cert, key }, (incoming, outgoing) => {
    const { method, url, headers } = incoming;
    requests.push(`${method} ${url}`);
    const onward = request(
      `${registry}${url}`,
      { method, headers: { ...headers, host: new URL(registry).host } },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      },
    );
    onward.on('error', () => outgoing.destroy()).end();
  });
  const port = await listenOnLoopback(server);
  const proxy = await startProxy((name) => (name.endsWith('docker.io:443') ? port : undefined));
  workplace.onClose(async () => {
    server.closeAllConnections();
    server.close();
    await proxy.close();
    await authority.remove();
  });
  return { env: { HTTPS_PROXY: proxy.url, SSL_CERT_FILE: authority.certFile }, requests };
}
