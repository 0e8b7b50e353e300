import { createServer } from 'node:https';
import { createAuthority } from './certificates.ts';
import { startGateway } from './gateway.ts';
import { startProxy } from './proxy.ts';
import type { Workplace } from './workplace.ts';

/** A server that a runtime uses as Docker Hub: with a certificate for its name, behind a proxy. */
export interface Hub {
  /** Makes a program use it: the proxy, and the authority of the certificate. */
  readonly env: Readonly<Record<string, string>>;
  /** `METHOD /target` of each request, oldest first. */
  readonly requests: readonly string[];
}

/** @param registry `http://127.0.0.1:PORT` of the registry that it forwards to */
export async function startHub(workplace: Workplace, registry: string): Promise<Hub> {
  const authority = await createAuthority();
  const { cert, key } = await authority.issue(['registry-1.docker.io', 'auth.docker.io', 'index.docker.io']);
  const requests: string[] = [];
  const { host } = new URL(registry);
  const port = await startGateway(
    workplace,
    registry,
    ({ method, url, headers }, _, passOn) => {
      requests.push(`${method} ${url}`);
      passOn({ headers: { ...headers, host } });
    },
    createServer({ cert, key }),
  );
  const proxy = await startProxy((name) => (name.endsWith('docker.io:443') ? port : undefined));
  workplace.onClose(async () => {
    await proxy.close();
    await authority.remove();
  });
  return { env: { HTTPS_PROXY: proxy.url, SSL_CERT_FILE: authority.certFile }, requests };
}
