import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { digestOf } from '../src/oci/digest.ts';
import { createAuthority } from '../test/support/certificates.ts';
import type { Workplace } from '../test/support/workplace.ts';
import { downloads } from './drive.ts';
import { type Identity, proxyTo, startNginx } from './nginx.ts';
import { startBare, startMetahub } from './registries.ts';
import { measure } from './rounds.ts';
import type { Section } from './table.ts';

const METAHUB = 'MetaHub, cache off';
const NGINX = 'nginx proxy';
const BARE = 'bare socket and hash';
const SIZE_BYTES = 512 * 1024 * 1024;

/** Starts an nginx that serves one blob of random bytes from a file. */
export async function startStatic(workplace: Workplace, name: string, sizeBytes: number, tls?: Identity) {
  const bytes = randomBytes(sizeBytes);
  const path = `/v2/bench/blob/blobs/${digestOf(bytes)}`;
  const root = workplace.folder(`www-${name}`);
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), bytes);
  const nginx = await startNginx(workplace, name, { server: `root ${root};`, ...(tls ? { tls } : {}) });
  return { ...nginx, path };
}

/** Blobs streamed without being stored, from an upstream with and without TLS. */
export async function benchStreams(workplace: Workplace, rounds: number): Promise<readonly Section[]> {
  const authority = await createAuthority();
  workplace.onClose(() => authority.remove());
  const tls = await authority.issue('127.0.0.1');

  const sections: Section[] = [];
  for (const scheme of ['plain', 'TLS'] as const) {
    const name = `origin-${scheme}`;
    const origin = await startStatic(workplace, name, SIZE_BYTES, scheme === 'TLS' ? tls : undefined);
    const proxy = await startNginx(workplace, `proxy-${scheme}`, proxyTo(origin.url));
    const metahub = await startMetahub(workplace, {
      upstream: origin.url,
      data: workplace.folder(`metahub-${scheme}`),
      args: ['--cache', 'off'],
      env: { NODE_EXTRA_CA_CERTS: authority.certFile },
    });
    const trust = { NODE_EXTRA_CA_CERTS: authority.certFile };
    const bare = await startBare(workplace, ['relay', origin.url], trust);
    const load = (url: string, pid: number) => () =>
      downloads({ url: url + origin.path, pid }, { clients: 1, sizeBytes: SIZE_BYTES });
    sections.push({
      title: `Streamed through, ${scheme} upstream`,
      how: `512 MiB from an nginx, nothing kept, one client (curl), ${rounds} rounds.`,
      unit: 'GB/s',
      measured: await measure(rounds, {
        [METAHUB]: load(metahub.url, metahub.pid),
        [BARE]: load(bare.url, bare.pid),
        [NGINX]: load(proxy.url, proxy.pid),
      }),
      ratios: [
        { of: METAHUB, against: NGINX, goal: scheme === 'TLS' ? 0.6 : 0.55 },
        { of: BARE, against: NGINX },
        { of: METAHUB, against: BARE },
      ],
    });
  }
  return sections;
}
