// `npm run runtimes`: how this machine's runtimes, and those of Debian's newer releases, behave before MetaHub. Needs root;
// installs nothing. Words choose rows by their names; `--write` puts the matrix into docs/runtimes.md.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  DEBIAN_RELEASE,
  type DebianRelease,
  openDebianRelease,
  type ReleasePlan,
} from '../../support/debian-release.ts';
import { lacking } from '../../support/installed-programs.ts';
import { startMetahub } from '../../support/metahub.ts';
import { attempt, installedPrograms, type Programs } from '../../support/processes.ts';
import { openWorkplace, type Workplace } from '../../support/workplace.ts';
import { BEHAVIOURS, type Behaviour, openScene, type Scene } from './behaviours.ts';
import { CLIENTS, type ClientKind } from './clients.ts';
import { type MatrixRow, renderMatrix, replaceMatrix } from './matrix.ts';
import { NODE_COLUMNS, NODES, openNodeScene, watchNode } from './nodes.ts';
import { openSignedScene, POLICIES, POLICY_COLUMNS, watchPolicy } from './policies.ts';
import { openSigned, SIGNATURE_COMMANDS } from './signatures.ts';

const DOCUMENT = fileURLToPath(new URL('../../../docs/runtimes.md', import.meta.url));

const RUNTIMES = ['docker.io', 'docker-cli', 'containerd', 'podman', 'skopeo', 'runc', 'crun', 'cri-o'];
const SIGNERS = ['oras', 'notation', 'cosign'];
// busybox is the shell in apptainer's images.
const APPTAINER = ['apptainer', 'busybox-static', 'dash'];
const RELEASES: readonly ReleasePlan[] = [
  { name: 'trixie', suites: ['trixie'], packages: RUNTIMES },
  { name: 'forky', suites: ['forky'], packages: [...RUNTIMES, ...SIGNERS] },
  { name: 'experimental', suites: ['sid', 'experimental'], packages: RUNTIMES, hasBareCgroups2: true },
  { name: 'sid', suites: ['sid'], packages: APPTAINER },
];

/** Where programs come from, and which versions they have. */
interface Source {
  readonly programs: Programs;
  versionOf(name: string): string | undefined;
  readonly release?: DebianRelease;
}

/** One row to be watched: a column each. */
interface Subject {
  readonly name: string;
  readonly version: string;
  readonly columns: readonly { readonly name: string; readonly expected: string; watch(): Promise<string> }[];
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function skip(what: string, why: string): void {
  process.stderr.write(`SKIPPED ${what}: ${why}\n`);
}

/** What is installed on this machine. */
async function openMachine(): Promise<Source> {
  const versions = new Map<string, string>();
  for (const { name, package: packageName, needs } of CLIENTS) {
    const missing = lacking(needs);
    const { stdout } = await attempt('dpkg-query', ['--status', packageName]);
    const version = /^Version: (\S+)/m.exec(stdout)?.[1];
    if (missing.length > 0) skip(`${name} of this machine`, `missing ${missing.join(', ')}`);
    else if (version !== undefined) versions.set(packageName, version);
  }
  return { programs: installedPrograms, versionOf: (name) => versions.get(name) };
}

async function openSources(): Promise<readonly Source[]> {
  const sources = [await openMachine()];
  for (const plan of RELEASES) {
    try {
      const release = await openDebianRelease(plan);
      const { versions, programs } = release;
      for (const name of plan.packages) {
        if (!versions.has(name)) skip(`${name} of ${plan.name}`, 'the release has no such package');
      }
      sources.push({ programs, versionOf: (name) => versions.get(name), release });
    } catch (error) {
      skip(`Debian ${plan.name}`, (error as Error).message);
    }
  }
  return sources;
}

/** Watches one behaviour of one client, both new. */
async function watch(
  behaviour: Behaviour,
  kind: ClientKind,
  programs: Programs,
  scene: Scene,
): Promise<string> {
  const workplace = openWorkplace();
  try {
    return await behaviour.watch({
      workplace,
      scene,
      startMirror: (options) => startMetahub(workplace, options),
      openClient: (surroundings) =>
        kind.open(workplace, programs, {
          registry: scene.registry.url,
          images: [scene.bench, scene.newest],
          ...surroundings,
        }),
    });
  } finally {
    await workplace.close();
  }
}

function clientSubjects(sources: readonly Source[], scene: Scene): readonly Subject[] {
  return CLIENTS.flatMap((kind) => {
    // The same version in two sources is one client.
    const byVersion = new Map<string, Programs>();
    for (const { programs, versionOf } of sources) {
      const version = versionOf(kind.package);
      if (version !== undefined && kind.isIn(version) && !byVersion.has(version)) {
        byVersion.set(version, programs);
      }
    }
    return [...byVersion].map(([version, programs]) => ({
      ...{ name: kind.name, version },
      columns: BEHAVIOURS.map((behaviour) => ({
        name: behaviour.name,
        expected: behaviour.expected(kind),
        watch: () => watch(behaviour, kind, programs, scene),
      })),
    }));
  });
}

/** Clients that demand a signature of the image, of the first release that has cosign. */
function policySubjects(sources: readonly Source[], place: Workplace): readonly Subject[] {
  const release = sources
    .flatMap((source) => source.release ?? [])
    .find(({ versions }) => versions.has('cosign'));
  if (release === undefined) {
    skip('policies of signatures', 'no release has cosign');
    return [];
  }
  let scene: ReturnType<typeof openSignedScene> | undefined;
  return POLICIES.map((kind) => ({
    ...{ name: kind.name, version: release.versions.get(kind.package) ?? '' },
    columns: POLICY_COLUMNS.map((column) => ({
      ...{ name: column, expected: kind.expected[column] },
      watch: async () => {
        scene ??= openSignedScene(place, release);
        const own = openWorkplace();
        try {
          return await watchPolicy(column, kind, own, await scene);
        } finally {
          await own.close();
        }
      },
    })),
  }));
}

const SUCCEEDS = 'succeeds';

/** The commands that follow referrers, of the first source that has all of them. */
function signatureSubjects(sources: readonly Source[], places: readonly Workplace[]): readonly Subject[] {
  const source = sources.find(({ versionOf }) => SIGNERS.every((name) => versionOf(name) !== undefined));
  if (source === undefined) {
    skip('signatures', `no release has ${SIGNERS.join(', ')}`);
    return [];
  }
  const opened = places.map((place, at) => {
    let signed: ReturnType<typeof openSigned> | undefined;
    return () => {
      signed ??= openSigned(place, source.programs, at > 0);
      return signed;
    };
  });
  const names = ['a registry without the referrers API', 'a registry with it'];
  return SIGNATURE_COMMANDS.map((command) => ({
    ...{ name: command.name, version: source.versionOf(command.package) ?? '' },
    columns: opened.map((open, at) => ({
      ...{ name: names[at] ?? '', expected: SUCCEEDS },
      watch: async () => {
        await command.watch(await open());
        return SUCCEEDS;
      },
    })),
  }));
}

/** Newer releases' runtimes on the files that setup writes; those of this machine are the end-to-end tests' matter. */
function nodeSubjects(sources: readonly Source[], place: Workplace): readonly Subject[] {
  const releases = sources.flatMap(({ release }) => release ?? []);
  const withShell = releases.find(({ versions }) => versions.has('busybox-static'));
  if (withShell === undefined) {
    skip('what setup writes', 'no release has busybox-static');
    return [];
  }
  async function open() {
    const shell = join(place.directory, 'busybox');
    await withShell?.programs.run('busybox', ['cp', '/bin/busybox', shell]);
    return await openNodeScene(place, readFileSync(shell));
  }
  let scene: ReturnType<typeof open> | undefined;
  return NODES.flatMap((kind) => {
    const byVersion = new Map(
      releases.flatMap((release) => {
        const version = release.versions.get(kind.package);
        return version === undefined ? [] : [[version, release] as const];
      }),
    );
    return [...byVersion].map(([version, release]) => ({
      ...{ name: kind.name, version },
      columns: NODE_COLUMNS.map((column) => ({
        ...{ name: column, expected: kind.expected[column] },
        watch: async () => {
          scene ??= open();
          const own = openWorkplace();
          try {
            return await watchNode(column, kind, own, release, await scene);
          } finally {
            await own.close();
          }
        },
      })),
    }));
  });
}

async function watchRow({ name, version, columns }: Subject): Promise<MatrixRow> {
  const cells = [];
  for (const column of columns) {
    const seen = await column.watch().catch((error: Error) => {
      process.stderr.write(`${error.message}\n`);
      return 'fails';
    });
    const isRight = seen === column.expected;
    cells.push({ column: column.name, seen, isRight });
    say(`${isRight ? 'ok   ' : 'WRONG'} ${name} ${version}, ${column.name}: ${seen}`);
  }
  return { name, version, cells };
}

/** @returns how many cells are not as they should be */
async function main(filters: readonly string[]): Promise<number> {
  const missing = lacking([...DEBIAN_RELEASE, 'docker-registry', 'gcc', 'openssl']);
  if (missing.length > 0) {
    skip('all runtimes', `missing ${missing.join(', ')}`);
    return 1;
  }
  const sources = await openSources();
  const places = [
    openWorkplace(),
    openWorkplace(),
    openWorkplace(),
    openWorkplace(),
    openWorkplace(),
  ] as const;
  const [scenery, node, policy, ...signing] = places;
  try {
    const scene = await openScene(scenery);
    const tables: string[] = [];
    let wrong = 0;
    for (const subjects of [
      clientSubjects(sources, scene),
      nodeSubjects(sources, node),
      policySubjects(sources, policy),
      signatureSubjects(sources, signing),
    ]) {
      const rows: MatrixRow[] = [];
      for (const subject of subjects) {
        const title = `${subject.name} ${subject.version}`;
        if (filters.every((filter) => title.includes(filter))) rows.push(await watchRow(subject));
      }
      wrong += rows.flatMap(({ cells }) => cells).filter(({ isRight }) => !isRight).length;
      if (rows.length > 0) tables.push(renderMatrix(rows));
    }
    say(`\n${tables.join('\n\n')}`);
    if (process.argv.includes('--write')) {
      writeFileSync(DOCUMENT, replaceMatrix(readFileSync(DOCUMENT, 'utf8'), tables, new Date()));
    }
    return wrong;
  } finally {
    for (const place of places) await place.close();
  }
}

process.exitCode = (await main(process.argv.slice(2).filter((word) => !word.startsWith('--')))) > 0 ? 1 : 0;
