import * as v from 'valibot';
import { Count, described } from '../../document-schema.ts';

/** The output of `metahub warm --json`. */
export const WARMED_IMAGES = v.object({
  images: described(
    v.array(
      v.object({
        image: described(v.string(), 'the image, with its registry: docker.io/library/alpine:latest'),
        blobs: described(Count, 'the number of its blobs: the configuration and the layers'),
        sizeBytes: described(Count, 'their size in bytes'),
        error: described(v.nullable(v.string()), 'why the image is not stored; null: it is'),
      }),
    ),
    'the named images, each once',
  ),
});
