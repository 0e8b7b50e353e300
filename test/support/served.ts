import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import { filterReferrers } from '../../src/mirror/referrers.ts';
import { DOCKER_HUB } from '../../src/oci/reference.ts';
import type { AdmissionController } from '../../src/oci/registry.ts';
import { createMirrorServer, type MirrorServer, type MirrorServerOptions } from '../../src/server/server.ts';
import type { StatusFacts } from '../../src/server/status-facts.ts';
import { createFakeRegistry, type FakeRegistry } from './fake-registry.ts';

export interface LogLine {
  readonly level: string;
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A mirror's server on its own port, with a registry in memory. */
export interface Served {
  readonly server: MirrorServer;
  readonly registry: FakeRegistry;
  readonly port: number;
  readonly log: readonly LogLine[];
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

const FACTS: StatusFacts = {
  version: '0.0.0',
  startedAt: new Date('2026-01-02T03:04:05Z'),
  decisions: [],
  figures: [],
};

/** Admits every client to one registry, like a node-local mirror. */
export function openGate(registry: FakeRegistry): AdmissionController {
  return { admit: () => ({ kind: 'admitted', registry, key: '' }) };
}

/** Starts a server that ends with the test. It accepts ghcr.io, quay.io and registries on localhost as sources. */
export async function serve(
  options: Partial<MirrorServerOptions> = {},
  address = '127.0.0.1',
): Promise<Served> {
  const registry = createFakeRegistry();
  const log: LogLine[] = [];
  const server = createMirrorServer({
    gate: openGate(registry),
    log: (level, event, _message, fields = {}) => log.push({ level, event, fields }),
    pseudonym: 'metahub-test',
    defaultHost: DOCKER_HUB,
    isAllowedHost: (host) => /^(?:ghcr\.io|quay\.io|localhost:\d+)$/.test(host),
    status: () => FACTS,
    filterReferrers,
    ...options,
  });
  const { port } = await server.listen({ host: address, port: 0 });
  onTestFinished(() => server.close());
  return { server, registry, port, log };
}

/** Sends one request on its own connection. */
export function ask(
  port: number,
  path: string,
  { method = 'GET', headers = {} }: { method?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const req = request({ port, path, method, headers, agent: false, host: '127.0.0.1' }, (res) => {
      const chunks: Buffer[] = [];
      res.on('data', (chunk: Buffer) => chunks.push(chunk));
      res.on('error', reject);
      res.on('end', () =>
        resolve({ status: res.statusCode ?? 0, headers: res.headers, body: Buffer.concat(chunks) }),
      );
    });
    req.on('error', reject);
    req.end();
  });
}

/** The `code` of an error document. */
export function codeOf({ body }: Answer): string | undefined {
  const document = JSON.parse(body.toString()) as { errors?: { code?: string; message?: string }[] };
  return document.errors?.[0]?.code;
}

/** Opens a connection for raw bytes. */
export function dial(port: number): Socket {
  const socket = connect(port, '127.0.0.1');
  // A refused connection may be reset during the write: what arrived before counts.
  socket.on('error', () => {});
  onTestFinished(() => {
    socket.destroy();
  });
  return socket;
}

/** Resolves with everything that arrives until the server closes the connection. */
export function exchange(port: number, ...writes: (string | Buffer)[]): Promise<string> {
  const socket = dial(port);
  let received = '';
  socket.on('data', (chunk) => {
    received += chunk.toString('latin1');
  });
  for (const bytes of writes) socket.write(bytes, 'latin1');
  return new Promise((resolve) => {
    socket.on('close', () => resolve(received));
  });
}
