import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startDockerRegistry } from '../../support/docker-registry.ts';
import { startMetahub } from '../../support/metahub.ts';
import type { Programs } from '../../support/processes.ts';
import { startReferrersApi } from '../../support/referrers-api.ts';
import type { Workplace } from '../../support/workplace.ts';

/** What is done with a signed artifact; every one throws unless it succeeds. */
interface Signed {
  /** `127.0.0.1:PORT/qnib/app@sha256:…`, through the mirror. */
  readonly image: string;
  /** Of another repository, at the registry itself. */
  readonly copy: string;
  readonly folder: string;
  run(command: string, ...args: readonly string[]): Promise<string>;
}

const SBOM = 'application/vnd.example.sbom';

function demand(output: string, part: string): void {
  if (!output.includes(part)) throw new Error(`${part} is missing: ${output}`);
}

const COSIGN_OFFLINE = ['--insecure-ignore-tlog', '--allow-http-registry'];

/** The commands that follow an image's referrers, by the package that has them. */
export const SIGNATURE_COMMANDS: readonly {
  readonly name: string;
  readonly package: string;
  watch(signed: Signed): Promise<void>;
}[] = [
  {
    name: 'oras discover',
    package: 'oras',
    watch: async ({ run, image }) => {
      const found = await run('oras', 'discover', '--plain-http', '--format', 'json', image);
      demand(found, SBOM);
      demand(found, 'application/vnd.cncf.notary.signature');
    },
  },
  {
    name: 'oras copy -r',
    package: 'oras',
    watch: async ({ run, image, copy }) => {
      await run('oras', 'copy', '-r', '--from-plain-http', '--to-plain-http', image, copy);
      demand(await run('oras', 'discover', '--plain-http', '--format', 'json', copy), SBOM);
    },
  },
  {
    name: 'notation list',
    package: 'notation',
    watch: async ({ run, image }) => {
      demand(
        await run('notation', 'list', '--insecure-registry', image),
        'application/vnd.cncf.notary.signature',
      );
    },
  },
  {
    name: 'notation verify',
    package: 'notation',
    watch: async ({ run, image }) => {
      await run('notation', 'verify', '--insecure-registry', image);
    },
  },
  {
    name: 'cosign verify',
    package: 'cosign',
    watch: async ({ run, image, folder }) => {
      await run('cosign', 'verify', '--key', join(folder, 'cosign.pub'), ...COSIGN_OFFLINE, image);
    },
  },
];

const TRUST_POLICY = {
  version: '1.0',
  trustPolicies: [
    {
      name: 'test',
      registryScopes: ['*'],
      signatureVerification: { level: 'strict' },
      trustStores: ['ca:test.example'],
      trustedIdentities: ['*'],
    },
  ],
};

/**
 * An artifact with an SBOM and signatures of notation and cosign, pushed to a registry with or without the referrers API,
 * and a mirror before it.
 */
export async function openSigned(
  workplace: Workplace,
  programs: Programs,
  hasReferrersApi: boolean,
): Promise<Signed> {
  const registry = await startDockerRegistry(workplace);
  const { url } = hasReferrersApi ? await startReferrersApi(workplace, registry.url) : registry;
  const folder = workplace.folder('signing');
  const env = {
    ...{ HOME: folder, XDG_CONFIG_HOME: folder, NOTATION_CONFIG: join(folder, 'notation') },
    ...{ DOCKER_CONFIG: folder, COSIGN_PASSWORD: 'of this test' },
  };
  const run: Signed['run'] = (command, ...args) => programs.run(command, args, { env });
  const at = new URL(url).host;
  const file = join(folder, 'sbom.json');
  writeFileSync(file, '{}\n');
  const plain = ['--plain-http', '--disable-path-validation'];
  await run('oras', 'push', ...plain, `${at}/qnib/app:v1`, `${file}:text/plain`);
  const digest = (await run('oras', 'resolve', '--plain-http', `${at}/qnib/app:v1`)).trim();
  const there = `${at}/qnib/app@${digest}`;
  await run('oras', 'attach', ...plain, '--artifact-type', SBOM, there, `${file}:text/plain`);
  await run('notation', 'cert', 'generate-test', '--default', 'test.example');
  await run('notation', 'sign', '--insecure-registry', there);
  const policy = join(folder, 'policy.json');
  writeFileSync(policy, JSON.stringify(TRUST_POLICY));
  await run('notation', 'policy', 'import', '--force', policy);
  await run('cosign', 'generate-key-pair', '--output-key-prefix', join(folder, 'cosign'));
  const unlogged = ['--yes', '--tlog-upload=false', '--use-signing-config=false', '--allow-http-registry'];
  await run('cosign', 'sign', '--key', join(folder, 'cosign.key'), ...unlogged, there);
  const metahub = await startMetahub(workplace, { upstream: url });
  const image = `${new URL(metahub.url).host}/qnib/app@${digest}`;
  return { image, copy: `${at}/qnib/copy:v1`, folder, run };
}
