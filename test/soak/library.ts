import { randomBytes } from 'node:crypto';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import type { DockerRegistry } from '../support/docker-registry.ts';
import { type BuiltImage, buildImage, buildIndex, type EntryPlatform } from '../support/images.ts';
import type { Random } from './random.ts';

/** A tag, and its digests so far. */
export interface Title {
  readonly repository: string;
  readonly tag: string;
  /** For each entry, the manifests of all versions of the index, oldest first. */
  readonly versions: Set<Digest>[];
}

/** Images in a registry whose tags move. */
export interface Library {
  readonly titles: readonly Title[];
  /** All blobs, with their sizes. */
  readonly blobs: ReadonlyMap<Digest, number>;
  readonly sizeBytes: number;
  /** Pushes another version under a title's tag. */
  move(title: Title): Promise<void>;
}

const PLATFORMS: readonly EntryPlatform[] = [
  { os: 'linux', architecture: 'amd64' },
  { os: 'linux', architecture: 'amd64', features: ['cpu:broadwell'] },
  { os: 'linux', architecture: 'amd64', features: ['cpu:skylake'] },
  { os: 'linux', architecture: 'arm64', variant: 'v8' },
];
const LAYER_KIB = [4, 48, 90, 300, 1500, 6000];

/** Pushes images of random bytes, from some KiB to some MiB, as indexes of several platforms. */
export async function createLibrary(
  registry: DockerRegistry,
  random: Random,
  titleCount: number,
): Promise<Library> {
  const blobs = new Map<Digest, number>();

  async function pushImage(repository: string, platform: EntryPlatform): Promise<BuiltImage> {
    const layer = randomBytes(random.pick(LAYER_KIB) * 1024 + random.whole(0, 1023));
    const image = buildImage(layer, { dialect: 'docker', architecture: platform.architecture });
    await registry.pushImage(repository, image);
    for (const blob of image.blobs) blobs.set(digestOf(blob), blob.length);
    return image;
  }

  async function move({ repository, tag, versions }: Title): Promise<void> {
    const entries = [];
    for (const platform of PLATFORMS)
      entries.push({ image: await pushImage(repository, platform), platform });
    const index = buildIndex(random.chance(0.5) ? 'docker' : 'oci', entries);
    // Recorded before the push, because a client may see the version at once.
    versions.push(new Set(entries.map(({ image }) => image.manifest.digest)));
    await registry.pushManifest(repository, index, tag);
  }

  const titles = Array.from({ length: titleCount }, (_, number): Title => {
    return { repository: `soak/image${number}`, tag: 'latest', versions: [] };
  });
  for (const title of titles) await move(title);
  return {
    titles,
    blobs,
    get sizeBytes() {
      return [...blobs.values()].reduce((sum, sizeBytes) => sum + sizeBytes, 0);
    },
    move,
  };
}
