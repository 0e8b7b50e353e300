import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { DebianRelease } from '../../support/debian-release.ts';
import { startDockerRegistry } from '../../support/docker-registry.ts';
import { pushIndex } from '../../support/image-set.ts';
import { type Metahub, startMetahub } from '../../support/metahub.ts';
import { openPodman } from '../../support/podman.ts';
import { writeRegistriesFiles } from '../../support/registries-conf.ts';
import { openSkopeo } from '../../support/skopeo.ts';
import type { Workplace } from '../../support/workplace.ts';

const NAME = 'docker.io/qnib/bench';
const SIGNED = 'cpu:broadwell';
const UNSIGNED = 'cpu:skylake';
const REFUSES = 'refuses';
const TAKES = 'takes';

/** An image of which one entry alone is signed with a key of cosign, and a mirror before its registry. */
export interface SignedScene {
  readonly release: DebianRelease;
  readonly workplace: Workplace;
  readonly registry: string;
  readonly policy: string;
  readonly key: string;
  readonly env: Readonly<Record<string, string>>;
}

export interface PolicyKind {
  readonly name: string;
  readonly package: string;
  readonly expected: Readonly<Record<PolicyColumn, string>>;
  /** Throws when the signature is refused. */
  take(scene: SignedScene, mirror: Metahub): Promise<unknown>;
  /** Does the mirror answer with manifests? */
  readonly answersManifests?: boolean;
}

export const POLICY_COLUMNS = ['an entry that is signed', 'an entry that nobody has signed'] as const;
export type PolicyColumn = (typeof POLICY_COLUMNS)[number];

/** As docs/signatures.md has it. */
export async function openSignedScene(workplace: Workplace, release: DebianRelease): Promise<SignedScene> {
  const registry = await startDockerRegistry(workplace);
  const bench = await pushIndex(workplace, registry, 'qnib/bench', 'oci', [
    { optimizedFor: 'generic' },
    { optimizedFor: UNSIGNED, features: [UNSIGNED] },
    { optimizedFor: SIGNED, features: [SIGNED] },
  ]);
  const folder = workplace.folder('signing');
  const env = { HOME: folder, DOCKER_CONFIG: folder, COSIGN_PASSWORD: 'of this test' };
  const cosign = (...args: readonly string[]) => release.programs.run('cosign', args, { env });
  await cosign('generate-key-pair', '--output-key-prefix', join(folder, 'cosign'));
  const offline = ['--yes', '--tlog-upload=false', '--use-signing-config=false', '--allow-http-registry'];
  await cosign(
    ...['sign', '--key', join(folder, 'cosign.key'), '--new-bundle-format=false', ...offline],
    ...['--sign-container-identity', NAME],
    `${new URL(registry.url).host}/qnib/bench@${bench.entry(SIGNED)}`,
  );
  const key = join(folder, 'cosign.pub');
  const policy = join(folder, 'policy.json');
  const requirement = {
    ...{ type: 'sigstoreSigned', keyPath: key },
    signedIdentity: { type: 'matchRepository' },
  };
  writeFileSync(
    policy,
    JSON.stringify({
      default: [{ type: 'reject' }],
      transports: { docker: { 'docker.io': [requirement] } },
    }),
  );
  return { release, workplace, registry: registry.url, policy, key, env };
}

const CLIENT = {
  expected: { 'an entry that is signed': TAKES, 'an entry that nobody has signed': REFUSES },
} as const;

function verify({ release, key, env }: SignedScene, { url }: Metahub): Promise<string> {
  const offline = ['--insecure-ignore-tlog', '--allow-http-registry', '--new-bundle-format=false'];
  const image = `${new URL(url).host}/qnib/bench:latest`;
  return release.programs.run('cosign', ['verify', '--key', key, ...offline, image], { env });
}

export const POLICIES: readonly PolicyKind[] = [
  {
    ...CLIENT,
    name: 'skopeo copy, sigstoreSigned',
    package: 'skopeo',
    take: ({ workplace, release: { programs }, policy }, { url }) =>
      openSkopeo(workplace, { mirror: url, programs }).skopeo(
        ...['--policy', policy, 'copy', '--remove-signatures', `docker://${NAME}:latest`],
        `dir:${join(workplace.folder('copied'), String(performance.now()))}`,
      ),
  },
  {
    ...CLIENT,
    name: 'podman pull, sigstoreSigned',
    package: 'podman',
    async take({ workplace, release: { programs }, policy }, { url }) {
      const { configuration, logins } = writeRegistriesFiles(workplace.folder('podman'), url);
      const podman = openPodman(workplace, { mirror: url, configuration, logins, programs });
      await podman.pull(`${NAME}:latest`, '--signature-policy', policy);
    },
  },
  {
    ...CLIENT,
    name: 'cosign verify TAG at the mirror, `answer: manifest`',
    package: 'cosign',
    answersManifests: true,
    take: verify,
  },
  {
    name: 'cosign verify TAG at the mirror, derived index',
    package: 'cosign',
    take: verify,
    expected: { 'an entry that is signed': REFUSES, 'an entry that nobody has signed': REFUSES },
  },
];

export async function watchPolicy(
  column: PolicyColumn,
  { take, answersManifests }: PolicyKind,
  place: Workplace,
  scene: SignedScene,
): Promise<string> {
  const policy = { answer: answersManifests === true ? 'manifest' : 'index' };
  const config = join(place.directory, 'config.yaml');
  writeFileSync(config, JSON.stringify({ policy }));
  const mirror = await startMetahub(place, {
    upstream: scene.registry,
    host: column === 'an entry that is signed' ? SIGNED : UNSIGNED,
    args: ['--config', config],
  });
  // podman and skopeo look for signatures by the name of whom they ask, which is the mirror's.
  const attachments = join(scene.release.tree, 'etc/containers/registries.d/metahub-test.yaml');
  mkdirSync(dirname(attachments), { recursive: true });
  writeFileSync(attachments, `docker:\n  ${new URL(mirror.url).host}:\n    use-sigstore-attachments: true\n`);
  place.onClose(() => rmSync(attachments));
  return await take({ ...scene, workplace: place }, mirror).then(
    () => TAKES,
    (error: Error) => {
      if (process.env['METAHUB_DEBUG'] === '1') process.stderr.write(`${error.message}\n`);
      return REFUSES;
    },
  );
}
