import { jsonText } from '../../../lib/text.ts';
import type { ImageManifest } from '../../../oci/manifest.ts';
import { requirementsOf } from '../../../selection/demands.ts';
import { demandJson } from '../demand-json.ts';
import type { Inspected, Member } from './run.ts';

function imageJson({ config, layers }: ImageManifest): object {
  return {
    config: { digest: config.digest, sizeBytes: config.sizeBytes, mediaType: config.mediaType },
    layers: layers.map(({ digest, sizeBytes, mediaType }) => ({ digest, sizeBytes, mediaType })),
  };
}

function memberJson({ entry, image, problem }: Member): object {
  return {
    digest: entry.digest,
    mediaType: entry.mediaType,
    sizeBytes: entry.sizeBytes,
    platform: entry.raw['platform'] ?? null,
    annotations: entry.annotations,
    demands: requirementsOf(entry).map(demandJson),
    ...(image === undefined ? {} : imageJson(image)),
    ...(problem === undefined ? {} : { problem }),
  };
}

/** Everything for programs. */
export function renderJson({ name, manifest, document, members }: Inspected): string {
  const told = {
    image: name,
    digest: manifest.digest,
    mediaType: document.mediaType,
    sizeBytes: manifest.bytes.length,
    ...(document.kind === 'index'
      ? { annotations: document.annotations, entries: members.map(memberJson) }
      : {}),
    ...(document.kind === 'image' ? { annotations: document.annotations, ...imageJson(document) } : {}),
  };
  return `${jsonText(told, 2)}\n`;
}
