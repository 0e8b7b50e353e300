import { type DockerRegistry, startDockerRegistry } from './docker-registry.ts';
import { type ImageSet, pushImageSet } from './image-set.ts';
import { type Metahub, startMetahub } from './metahub.ts';
import type { Workplace } from './workplace.ts';

/** The programs that `mirroredRegistry` starts or needs. */
export const MIRRORED_REGISTRY = ['root', 'docker-registry', 'gcc'];

export interface MirroredRegistry {
  readonly registry: DockerRegistry;
  readonly images: ImageSet;
  readonly metahub: Metahub;
}

/** A real registry in the place of docker.io, holding the image set, and MetaHub before it. */
export async function mirroredRegistry(workplace: Workplace): Promise<MirroredRegistry> {
  const registry = await startDockerRegistry(workplace);
  const images = await pushImageSet(workplace, registry);
  const metahub = await startMetahub(workplace, { upstream: registry.url });
  return { registry, images, metahub };
}
