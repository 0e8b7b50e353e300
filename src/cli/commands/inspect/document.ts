import * as v from 'valibot';
import { DigestText, described, MediaType, SizeBytes } from '../../document-schema.ts';
import { DEMAND } from '../explain/document.ts';

const Blob = v.object({ digest: DigestText, sizeBytes: SizeBytes, mediaType: MediaType });
const Annotations = described(v.record(v.string(), v.string()), 'the annotations');

const image = {
  config: v.optional(
    described(Blob, 'the configuration of the image; absent: it is not an image, or cannot be read'),
  ),
  layers: v.optional(described(v.array(Blob), 'the layers of the image, the lowest first')),
};

const Entry = v.object({
  digest: DigestText,
  mediaType: MediaType,
  sizeBytes: SizeBytes,
  platform: described(v.unknown(), 'the platform as the index states it; null: none'),
  annotations: Annotations,
  demands: described(v.array(DEMAND), 'what the entry demands of a host'),
  ...image,
  problem: v.optional(described(v.string(), 'why its manifest cannot be read')),
});

/** The output of `metahub inspect --json`. */
export const INSPECTION = v.object({
  image: described(v.string(), 'the image, with its registry: docker.io/library/alpine:latest'),
  digest: DigestText,
  mediaType: MediaType,
  sizeBytes: SizeBytes,
  annotations: v.optional(Annotations),
  entries: v.optional(described(v.array(Entry), 'the entries of the index; absent: it is not an index')),
  ...image,
});
