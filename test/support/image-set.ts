import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Digest } from '../../src/oci/digest.ts';
import type { DockerRegistry } from './docker-registry.ts';
import { type BuiltDocument, buildImage, buildIndex, type ImageDialect } from './images.ts';
import { run } from './processes.ts';
import type { TarFile } from './tar.ts';
import type { Workplace } from './workplace.ts';

/** The only output of a program of the set. */
export function lineOf(optimizedFor: string): string {
  return `>> This container is optimized for: ${optimizedFor}`;
}

export interface PushedIndex extends BuiltDocument {
  /** The digest of the image manifest whose program prints this. */
  entry(optimizedFor: string): Digest;
  /** The output of an image manifest's program. */
  optimizedFor(digest: string): string | undefined;
}

export const BENCH = 'docker.io/qnib/bench:latest';
export const LEVELS = 'docker.io/qnib/levels:latest';

/** A host, and the entries of {@link BENCH} and {@link LEVELS} for it. */
export const FITTING_ENTRIES: readonly (readonly [host: string, bench: string, levels: string])[] = [
  ['cpu:x86_64', 'generic', 'generic'],
  ['cpu:skylake', 'cpu:skylake', 'x86-64-v3'],
  ['cpu:broadwell', 'cpu:broadwell', 'x86-64-v3'],
  ['cpu:broadwell nvcap:5.2', 'cpu:broadwell,nvcap:5.2', 'x86-64-v3'],
];

/** The pushed test images. Every entry runs on any amd64 machine, whatever its label demands. */
export interface ImageSet {
  /** `qnib/bench:latest`, a Docker manifest list whose entries carry `features`. */
  readonly bench: PushedIndex;
  /** `qnib/levels:latest`, an OCI image index: no variant, v2, v3, v4. */
  readonly levels: PushedIndex;
  /** `library/plain:latest`, a single image. */
  readonly plain: BuiltDocument;
}

const SOURCE = '#include <stdio.h>\nint main(void) { puts(LINE); return 0; }\n';

/** A static program that prints `line`. */
async function compile(folder: string, line: string): Promise<Buffer> {
  const [source, program] = [join(folder, 'report.c'), join(folder, 'report')];
  writeFileSync(source, SOURCE);
  await run('gcc', ['-static', '-Os', '-s', `-DLINE="${line}"`, '-o', program, source]);
  return readFileSync(program);
}

/** An entry to build: the output of its program, and the properties of its descriptor. */
export interface EntryPlan {
  readonly optimizedFor: string;
  readonly architecture?: string;
  readonly variant?: string;
  readonly features?: readonly string[];
}

const BENCH_ENTRIES: readonly EntryPlan[] = [
  { optimizedFor: 'generic' },
  { optimizedFor: 'cpu:skylake', features: ['cpu:skylake'] },
  { optimizedFor: 'cpu:broadwell', features: ['cpu:broadwell'] },
  { optimizedFor: 'cpu:broadwell,nvcap:5.2', features: ['cpu:broadwell', 'nvcap:5.2'] },
  { optimizedFor: 'arm64', architecture: 'arm64', variant: 'v8' },
];

const LEVELS_ENTRIES: readonly EntryPlan[] = [
  { optimizedFor: 'generic' },
  { optimizedFor: 'x86-64-v2', variant: 'v2' },
  { optimizedFor: 'x86-64-v3', variant: 'v3' },
  { optimizedFor: 'x86-64-v4', variant: 'v4' },
  { optimizedFor: 'arm64', architecture: 'arm64', variant: 'v8' },
];

/** Builds an image for each plan, with `files` in each, and pushes them as `latest` of a repository. */
export async function pushIndex(
  workplace: Workplace,
  registry: DockerRegistry,
  repository: string,
  dialect: ImageDialect,
  plans: readonly EntryPlan[],
  files: readonly TarFile[] = [],
): Promise<PushedIndex> {
  const folder = workplace.folder('images');
  const entries = [];
  const digests = new Map<string, Digest>();
  for (const { optimizedFor, architecture = 'amd64', variant, features } of plans) {
    const image = buildImage(await compile(folder, lineOf(optimizedFor)), { dialect, architecture, files });
    await registry.pushImage(repository, image);
    digests.set(optimizedFor, image.manifest.digest);
    const platform = {
      architecture,
      os: 'linux',
      ...(variant === undefined ? {} : { variant }),
      ...(features === undefined ? {} : { features }),
    };
    entries.push({ image, platform });
  }
  const index = buildIndex(dialect, entries);
  await registry.pushManifest(repository, index, 'latest');
  const entry = (optimizedFor: string) => {
    const digest = digests.get(optimizedFor);
    if (digest === undefined) throw new Error(`${repository} has no entry for ${optimizedFor}`);
    return digest;
  };
  const names = new Map<string, string>([...digests].map(([name, digest]) => [digest, name]));
  return { ...index, entry, optimizedFor: (digest) => names.get(digest) };
}

/** Builds the set with gcc and pushes it. */
export async function pushImageSet(workplace: Workplace, registry: DockerRegistry): Promise<ImageSet> {
  const program = await compile(workplace.folder('images'), lineOf('nothing, it is alone'));
  const plain = buildImage(program, { dialect: 'docker' });
  await registry.pushImage('library/plain', plain, 'latest');
  return {
    bench: await pushIndex(workplace, registry, 'qnib/bench', 'docker', BENCH_ENTRIES),
    levels: await pushIndex(workplace, registry, 'qnib/levels', 'oci', LEVELS_ENTRIES),
    plain: plain.manifest,
  };
}

/** Pushes single images under tags of one repository; each prints the microarchitecture that it is optimized for. */
export async function pushPlainImages(
  workplace: Workplace,
  registry: DockerRegistry,
  repository: string,
  optimizedFor: Readonly<Record<string, string>>,
): Promise<void> {
  const folder = workplace.folder('images');
  for (const [tag, target] of Object.entries(optimizedFor)) {
    const image = buildImage(await compile(folder, lineOf(target)), { dialect: 'docker' });
    await registry.pushImage(repository, image, tag);
  }
}
