import { type DockerRegistry, startDockerRegistry } from './docker-registry.ts';
import { type ImageSet, pushImageSet } from './image-set.ts';
import { type Metahub, startMetahub } from './metahub.ts';
import type { Workplace } from './workplace.ts';

/** The requirements of `mirroredRegistry`. */
export const MIRRORED_REGISTRY = ['root', 'docker-registry', 'gcc'];

export interface MirroredRegistry {
  readonly registry: DockerRegistry;
  readonly images: ImageSet;
  readonly metahub: Metahub;
}

/** A registry in place of docker.io with the image set, and MetaHub in front of it. */
export async function mirroredRegistry(workplace: Workplace): Promise<MirroredRegistry> {
  const registry = await startDockerRegistry(workplace);
  const images = await pushImageSet(workplace, registry);
  const metahub = await startMetahub(workplace, { upstream: registry.url });
  return { registry, images, metahub };
}
