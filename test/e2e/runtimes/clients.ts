import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startContainerd } from '../../support/containerd.ts';
import { startDockerd } from '../../support/dockerd.ts';
import { startHub } from '../../support/hub.ts';
import type { PushedIndex } from '../../support/image-set.ts';
import { openPodman } from '../../support/podman.ts';
import type { Programs } from '../../support/processes.ts';
import { openSkopeo } from '../../support/skopeo.ts';
import type { Workplace } from '../../support/workplace.ts';

/** What a client is opened with: a mirror, and the registry that it may go on to. */
export interface Surroundings {
  readonly mirror: string;
  /** `http://127.0.0.1:PORT` of what stands in for Docker Hub. */
  readonly registry: string;
  /** The client's own login to docker.io, given where a person would give it. */
  readonly login?: { readonly username: string; readonly password: string };
  /** What the images hold, for a client that cannot run them. */
  readonly images: readonly PushedIndex[];
}

/** A runtime that begins empty. */
export interface Client {
  /** Pulls `qnib/NAME:TAG` or `qnib/NAME@DIGEST` of docker.io; answers what the entry that it got is optimized for. */
  pull(image: string): Promise<string>;
  /** Has it nothing to run under this name? */
  lacks(image: string): Promise<boolean>;
}

export interface ClientKind {
  readonly name: string;
  /** The Debian package whose version is the client's. */
  readonly package: string;
  /** The programs without which it cannot be opened. */
  readonly needs: readonly string[];
  /** Whether it can go on to the registry after an index that names no platform of the host. */
  readonly goesOn: boolean;
  /** Whether it shows its login for docker.io to a mirror. */
  readonly showsLogin: boolean;
  /** Whether a version has it. */
  isIn(version: string): boolean;
  open(workplace: Workplace, programs: Programs, surroundings: Surroundings): Promise<Client>;
}

function optimizedFor(line: string): string {
  return /optimized for: (.*)$/m.exec(line)?.[1] ?? line;
}

function basic({ username, password }: { readonly username: string; readonly password: string }): string {
  return Buffer.from(`${username}:${password}`).toString('base64');
}

async function openDockerd(
  workplace: Workplace,
  programs: Programs,
  { mirror, registry, login }: Surroundings,
  hasContainerdStore: boolean,
): Promise<Client> {
  const hub = await startHub(workplace, registry);
  const configFile = join(workplace.directory, 'daemon.json');
  // Before 29 the classic store is the default; older versions refuse a feature that they do not know.
  const features = hasContainerdStore ? { features: { 'containerd-snapshotter': true } } : {};
  writeFileSync(configFile, JSON.stringify(features));
  const dockerd = await startDockerd(workplace, { mirror, configFile, env: hub.env, programs });
  const auths = login === undefined ? {} : { 'https://index.docker.io/v1/': { auth: basic(login) } };
  writeFileSync(join(workplace.folder('dockerd/client'), 'config.json'), JSON.stringify({ auths }));
  return {
    async pull(image) {
      await dockerd.pull(image);
      return optimizedFor(await dockerd.run(image));
    },
    lacks: async () => (await dockerd.docker('images', '--quiet')).trim() === '',
  };
}

async function openContainerd(
  workplace: Workplace,
  programs: Programs,
  { mirror, registry, login }: Surroundings,
): Promise<Client> {
  const hostsFolder = workplace.folder('certs.d');
  mkdirSync(join(hostsFolder, 'docker.io'), { recursive: true });
  writeFileSync(
    join(hostsFolder, 'docker.io', 'hosts.toml'),
    `server = "${registry}"\n[host."${mirror}"]\n  capabilities = ["pull", "resolve"]\n`,
  );
  const containerd = await startContainerd(workplace, { mirror, hostsFolder, programs });
  const user = login === undefined ? [] : ['--user', `${login.username}:${login.password}`];
  return {
    async pull(image) {
      await containerd.pull(`docker.io/${image}`, ...user);
      return optimizedFor(await containerd.run(`docker.io/${image}`));
    },
    // It keeps the name of what it refused, without layers.
    lacks: (image) =>
      containerd.run(`docker.io/${image}`).then(
        () => false,
        () => true,
      ),
  };
}

/** registries.conf and the logins of the tools that share it: the mirror, then the registry. */
function writeContainersFiles(workplace: Workplace, { mirror, registry, login }: Surroundings) {
  const folder = workplace.folder('containers');
  const files = { configuration: join(folder, 'registries.conf'), logins: join(folder, 'auth.json') };
  const [there, here] = [new URL(registry).host, new URL(mirror).host];
  writeFileSync(
    files.configuration,
    `[[registry]]
prefix = "docker.io"
location = "${there}"
insecure = true
[[registry.mirror]]
location = "${here}"
insecure = true
`,
  );
  const auths =
    login === undefined ? {} : { [here]: { auth: basic(login) }, [there]: { auth: basic(login) } };
  writeFileSync(files.logins, JSON.stringify({ auths }));
  return files;
}

async function openPodmanClient(
  workplace: Workplace,
  programs: Programs,
  surroundings: Surroundings,
  hasCgroups: boolean,
): Promise<Client> {
  const files = writeContainersFiles(workplace, surroundings);
  const podman = openPodman(workplace, { mirror: surroundings.mirror, ...files, programs, hasCgroups });
  return {
    async pull(image) {
      await podman.pull(`docker.io/${image}`);
      return optimizedFor(await podman.run(`docker.io/${image}`));
    },
    lacks: async () => (await podman.podman('images', '--quiet')).trim() === '',
  };
}

async function openSkopeoClient(
  workplace: Workplace,
  programs: Programs,
  surroundings: Surroundings,
): Promise<Client> {
  const files = writeContainersFiles(workplace, surroundings);
  const skopeo = openSkopeo(workplace, { mirror: surroundings.mirror, ...files, programs });
  let copied = 0;
  return {
    async pull(image) {
      const { digest } = await skopeo.copy(`docker.io/${image}`);
      copied += 1;
      const names = surroundings.images.map((index) => index.optimizedFor(digest));
      return names.find((name) => name !== undefined) ?? digest;
    },
    lacks: async () => copied === 0,
  };
}

const major = (version: string) => Number(/^(?:\d+:)?(\d+)/.exec(version)?.[1]);

export const CLIENTS: readonly ClientKind[] = [
  {
    name: 'dockerd, classic store',
    package: 'docker.io',
    needs: ['dockerd', 'docker'],
    goesOn: true,
    showsLogin: true,
    isIn: () => true,
    open: (workplace, programs, surroundings) => openDockerd(workplace, programs, surroundings, false),
  },
  {
    name: 'dockerd, containerd store',
    package: 'docker.io',
    needs: ['dockerd', 'docker'],
    goesOn: false,
    showsLogin: false,
    isIn: (version) => major(version) >= 24,
    open: (workplace, programs, surroundings) => openDockerd(workplace, programs, surroundings, true),
  },
  {
    name: 'containerd (ctr)',
    package: 'containerd',
    needs: ['containerd', 'ctr', 'runc'],
    goesOn: false,
    showsLogin: true,
    isIn: () => true,
    open: openContainerd,
  },
  {
    name: 'podman',
    package: 'podman',
    needs: ['podman', 'runc'],
    goesOn: false,
    showsLogin: true,
    isIn: (version) => major(version) < 6,
    open: (workplace, programs, surroundings) => openPodmanClient(workplace, programs, surroundings, true),
  },
  {
    // It demands cgroups of version 2, and a machine that runs dockerd 20.10 may have version 1.
    name: 'podman',
    package: 'podman',
    needs: ['podman', 'crun'],
    goesOn: false,
    showsLogin: true,
    isIn: (version) => major(version) >= 6,
    open: (workplace, programs, surroundings) => openPodmanClient(workplace, programs, surroundings, false),
  },
  {
    name: 'skopeo',
    package: 'skopeo',
    needs: ['skopeo'],
    goesOn: false,
    showsLogin: true,
    isIn: () => true,
    open: openSkopeoClient,
  },
];
