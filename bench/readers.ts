import { rmSync } from 'node:fs';
import { createAuthority } from '../test/support/certificates.ts';
import type { Workplace } from '../test/support/workplace.ts';
import { downloads } from './drive.ts';
import { startMetahub } from './registries.ts';
import { measure } from './rounds.ts';
import { startStatic } from './streams.ts';
import type { Section } from './table.ts';

const RAW = 'raw reader';
const STANDARD = "Node's own client";
const SIZE_BYTES = 256 * 1024 * 1024;

/** Blobs read from the registry by MetaHub's own HTTP reader and by Node's HTTP client, through `metahub serve`. */
export async function benchReaders(workplace: Workplace, rounds: number): Promise<readonly Section[]> {
  const authority = await createAuthority();
  workplace.onClose(() => authority.remove());
  const tls = await authority.issue('127.0.0.1');
  const sections: Section[] = [];
  for (const scheme of ['plain', 'TLS'] as const) {
    const name = `readers-${scheme}`;
    const origin = await startStatic(workplace, name, SIZE_BYTES, scheme === 'TLS' ? tls : undefined);
    for (const cache of ['off', 'on'] as const) {
      const read = (reader: string) => async () => {
        const data = workplace.folder('metahub-readers');
        rmSync(data, { recursive: true, force: true });
        const metahub = await startMetahub(workplace, {
          upstream: origin.url,
          data,
          args: ['--cache', cache, '--blob-reader', reader, '--blob-connections', 'off'],
          env: { NODE_EXTRA_CA_CERTS: authority.certFile },
        });
        const figure = await downloads(
          { url: metahub.url + origin.path, pid: metahub.pid },
          { clients: 1, sizeBytes: SIZE_BYTES },
        );
        await metahub.stop();
        return figure;
      };
      sections.push({
        title: `Readers, ${scheme} upstream, cache ${cache}`,
        how: `256 MiB from an nginx over one connection through a new MetaHub, one client (curl), ${rounds} rounds.`,
        unit: 'GB/s',
        measured: await measure(rounds, { [RAW]: read('raw'), [STANDARD]: read('standard') }),
        ratios: [{ of: RAW, against: STANDARD }],
      });
    }
  }
  return sections;
}
