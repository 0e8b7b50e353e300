import type { Descriptor } from '../../../oci/manifest.ts';
import { formatReference, type Repository } from '../../../oci/reference.ts';
import type { Registry } from '../../../oci/registry.ts';
import { RegistryError } from '../../../oci/registry-error.ts';
import type { Pusher, PushOutcome } from '../../../upstream/pusher.ts';
import { UserError } from '../../user-error.ts';
import type { PlannedMember, PushPlan } from './plan.ts';
import type { Progress } from './render.ts';

interface Tools {
  readonly registry: Registry;
  readonly publisher: Pusher;
  readonly progress: Progress;
}

/** Maximum number of concurrent uploads of one image's blobs. */
const AT_ONCE = 3;

/** True for a layer with its own URLs, which no registry stores. */
function isForeign({ mediaType, raw }: Descriptor): boolean {
  return Array.isArray(raw['urls']) || /foreign|nondistributable/.test(mediaType);
}

function publishBlob(
  { digest, sizeBytes }: Descriptor,
  source: Repository,
  target: Repository,
  { registry, publisher }: Tools,
): Promise<PushOutcome> {
  return publisher.blob(target, {
    digest,
    sizeBytes,
    from: source.host === target.host ? source : undefined,
    write: async (sink) => {
      const blob = await registry.blob(source, digest, { follow: true });
      if (blob.kind === 'redirect') throw new RegistryError('UNAVAILABLE', `${digest} is elsewhere`);
      await blob.writeTo(sink);
    },
  });
}

/** Copies an image's blobs, then its manifest, to the repository of the list. */
async function publishMember(member: PlannedMember, target: Repository, tools: Tools): Promise<void> {
  const { document, image, manifest, name } = member;
  const blobs = [document.config, ...document.layers].filter((blob) => !isForeign(blob));
  const waiting = [...new Map(blobs.map((blob) => [blob.digest, blob])).values()];
  const counts: Record<PushOutcome, number> = { exists: 0, mounted: 0, uploaded: 0 };
  tools.progress.member(name, counts, waiting.length);
  const work = async () => {
    for (let blob = waiting.shift(); blob !== undefined; blob = waiting.shift()) {
      counts[await publishBlob(blob, image.repository, target, tools)] += 1;
      tools.progress.member(name, counts, waiting.length);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const { bytes } = manifest;
  const { mediaType } = document;
  await tools.publisher.manifest(target, { kind: 'digest', digest: manifest.digest }, { mediaType, bytes });
  tools.progress.finished(name, counts);
}

const NEXT_STEPS: Readonly<Record<string, string>> = {
  UNAUTHORIZED: 'Log in with a login that may push (docker login).',
  DENIED: 'Check that the login may push there, and that the registry is an upstream (--upstream HOST).',
  NAME_UNKNOWN: 'Check that the repository exists and that this login may push to it.',
  UNSUPPORTED: 'Name a registry that accepts pushes: a mirror does not.',
};

/**
 * Carries out a plan. Pushes the list last, so that it never refers to anything missing.
 * @throws {UserError}
 */
export async function executePush(
  { repository, tags, members, index }: PushPlan,
  tools: Tools,
): Promise<void> {
  try {
    for (const member of members) {
      if (member.isThere) tools.progress.finished(member.name, undefined);
      else await publishMember(member, repository, tools);
    }
    for (const tag of tags) await tools.publisher.manifest(repository, { kind: 'tag', tag }, index);
  } catch (cause) {
    if (!(cause instanceof RegistryError)) throw cause;
    throw new UserError(`${formatReference(repository, { kind: 'tag', tag: tags[0] })}: ${cause.message}`, {
      cause,
      nextStep:
        NEXT_STEPS[cause.code] ?? 'Try again: metahub does not send again what the registry already has.',
    });
  }
}
