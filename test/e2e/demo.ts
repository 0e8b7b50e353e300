// `npm run demo`: one image name, four hosts, a real dockerd. Needs root and Debian's packages; leaves nothing behind.
import { startDockerd } from '../support/dockerd.ts';
import { lacking } from '../support/installed-programs.ts';
import { MIRRORED_REGISTRY, mirroredRegistry } from '../support/mirrored-registry.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const IMAGE = 'qnib/bench';
const HOSTS = ['cpu:x86_64', 'cpu:skylake', 'cpu:broadwell', 'cpu:broadwell nvcap:5.2'];

interface ManifestList {
  readonly manifests: readonly {
    readonly digest: string;
    readonly platform: {
      readonly architecture: string;
      readonly variant?: string;
      readonly features?: readonly string[];
    };
  }[];
}

function say(line = ''): void {
  process.stdout.write(`${line}\n`);
}

function table(list: ManifestList): void {
  for (const { digest, platform } of list.manifests) {
    const demands = platform.features?.join(', ') ?? 'nothing more';
    const name = ['linux', platform.architecture, platform.variant].filter(Boolean).join('/');
    say(`    ${digest.slice(0, 15)}  ${name.padEnd(15)}  ${demands}`);
  }
}

async function demonstrate(workplace: Workplace): Promise<void> {
  say('Starting a registry with four builds of one program, MetaHub before it, and a dockerd …');
  const { images, metahub, registry } = await mirroredRegistry(workplace);
  const dockerd = await startDockerd(workplace, { mirror: metahub.url });
  say();
  say(`  registry  ${registry.url}  docker-registry, in the place of Docker Hub`);
  say(`  metahub   ${metahub.url}  --upstream docker.io=${registry.url}`);
  say(`  dockerd   ${dockerd.version.padEnd(22)}  --registry-mirror ${metahub.url}`);
  say();
  say(`What the registry holds as ${IMAGE}, and what each entry demands of a host:`);
  say();
  table(JSON.parse(images.bench.bytes.toString()) as ManifestList);
  for (const host of HOSTS) {
    await metahub.restart(host);
    say();
    say(`$ metahub serve ${host.replaceAll(/\S+/g, '--set $&')}`);
    say(`$ docker pull ${IMAGE}`);
    say((await dockerd.pull(IMAGE)).split('\n').find((line) => line.startsWith('Status:')) ?? '');
    say(`$ docker run ${IMAGE}`);
    say(await dockerd.run(IMAGE));
  }
  say();
  say('The same name each time, and each host ran the entry that fits it.');
}

/** Resolves when somebody asks to stop. */
function interrupted(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
}

async function main(): Promise<number> {
  const missing = lacking([...MIRRORED_REGISTRY, 'dockerd', 'docker', 'runc']);
  if (missing.length > 0) {
    const packages = missing.filter((name) => name !== 'root');
    process.stderr.write(`The demo needs ${missing.join(', ')}.\n`);
    if (packages.length > 0) process.stderr.write(`Install with: apt install ${packages.join(' ')}\n`);
    if (missing.includes('root')) process.stderr.write('Run it with: sudo npm run demo\n');
    return 1;
  }
  const workplace = openWorkplace();
  try {
    const shown = demonstrate(workplace).then(() => 0);
    shown.catch(() => {}); // what it loses when it is interrupted is of no interest
    return await Promise.race([shown, interrupted().then(() => 130)]);
  } finally {
    await workplace.close();
    say('Everything that the demo started is stopped and removed.');
  }
}

process.exit(await main());
