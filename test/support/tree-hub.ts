import { appendFileSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createAuthority } from './certificates.ts';
import { startDockerRegistry } from './docker-registry.ts';
import { type EntryPlan, pushIndex } from './image-set.ts';
import { run, startServer } from './processes.ts';
import type { Systemd } from './systemd.ts';
import type { Workplace } from './workplace.ts';

const HUB = 'registry-1.docker.io';
/**
 * An address of Docker Hub, because MetaHub does not treat a private address as a public registry. It is only in
 * the tree's network.
 */
const ADDRESS = '44.205.64.79';

/**
 * A registry that is Docker Hub for a tree without any setting: by its name, and by an authority that the machine
 * trusts.
 */
export interface TreeHub {
  /** Listens in the network of the tree's system. */
  start(systemd: Systemd): Promise<void>;
}

/** Fills the registry, and writes the name and authority into the tree. */
export async function openTreeHub(
  workplace: Workplace,
  tree: string,
  images: Readonly<Record<string, readonly EntryPlan[]>>,
): Promise<TreeHub> {
  const authority = await createAuthority();
  workplace.onClose(() => authority.remove());
  const { certFile, keyFile } = await authority.issue(HUB, { days: 60 });
  const filled = await startDockerRegistry(workplace);
  for (const [repository, plans] of Object.entries(images)) {
    await pushIndex(workplace, filled, repository, 'docker', plans);
  }
  await filled.stop();

  appendFileSync(join(tree, 'etc/hosts'), `${ADDRESS} ${HUB}\n`);
  mkdirSync(join(tree, 'etc/docker/certs.d', HUB), { recursive: true });
  copyFileSync(authority.certFile, join(tree, 'etc/docker/certs.d', HUB, 'ca.crt'));

  const folder = workplace.folder('registry');
  const file = join(folder, 'hub.yml');
  const configuration = {
    version: '0.1',
    storage: { filesystem: { rootdirectory: join(folder, 'data') } },
    http: { addr: `${ADDRESS}:443`, tls: { certificate: certFile, key: keyFile } },
  };
  writeFileSync(file, JSON.stringify(configuration)); // JSON is YAML
  return {
    start: async ({ inNetwork: [command = '', ...words] }) => {
      await run(command, [...words, 'ip', 'address', 'add', `${ADDRESS}/32`, 'dev', 'lo']);
      const args = [...words, 'docker-registry', 'serve', file];
      const server = await startServer({ command, args, ready: /listening on [\d.]+:443/ });
      workplace.onClose(() => server.stop());
    },
  };
}
