import * as v from 'valibot';

const Count = v.pipe(v.number(), v.integer(), v.minValue(0));
const Time = v.pipe(v.string(), v.isoTimestamp());

export const GAP = v.object({
  image: v.pipe(v.string(), v.description('docker.io/qnib/bench:latest')),
  fit: v.pipe(
    v.picklist(['older', 'generic', 'refused']),
    v.description(
      'older: what is served is built for earlier hardware; generic: it demands none; refused: no entry runs on the host',
    ),
  ),
  platform: v.pipe(v.string(), v.description('linux/amd64')),
  wanted: v.pipe(
    v.array(v.string()),
    v.minLength(1),
    v.readonly(),
    v.description('what the missing entry would demand: cpu:zen4, variant:v4, nvcap:9.0'),
  ),
  isMarked: v.pipe(v.boolean(), v.description('does some entry of the image demand hardware')),
  served: v.pipe(
    v.nullable(v.string()),
    v.description('what the served entry demands; null: no entry was served'),
  ),
  pulls: v.pipe(Count, v.description('answers to the tag')),
  hosts: v.pipe(
    v.array(v.string()),
    v.readonly(),
    v.description('keys of the kinds of hosts that pulled, 64 at most'),
  ),
  firstAt: v.pipe(Time, v.description('when a pull first lacked it, in UTC')),
  lastAt: v.pipe(Time, v.description('when a pull last lacked it, in UTC')),
  notifiedAt: v.optional(v.pipe(Time, v.description('when a webhook took the event of this gap'))),
});

/** The data of the event that is sent to a webhook. */
export const GAP_EVENT = v.object({
  image: GAP.entries.image,
  fit: GAP.entries.fit,
  platform: GAP.entries.platform,
  wanted: GAP.entries.wanted,
  served: GAP.entries.served,
  firstAt: GAP.entries.firstAt,
  build: v.pipe(
    v.object({
      image: v.pipe(
        v.string(),
        v.description('where the build is pushed to: docker.io/qnib/bench:latest-zen4'),
      ),
      list: v.pipe(v.string(), v.description('the tag of the list that it belongs to')),
      platform: v.pipe(v.string(), v.description('linux/amd64')),
      features: v.pipe(
        v.array(v.string()),
        v.readonly(),
        v.description('the features that its entry demands'),
      ),
      variant: v.optional(
        v.pipe(v.string(), v.description('the variant of the platform that its entry demands')),
      ),
      cflags: v.pipe(v.string(), v.description('for gcc and clang')),
      cudaArchitectures: v.pipe(v.string(), v.description('for CMAKE_CUDA_ARCHITECTURES')),
      hipArchitectures: v.pipe(v.string(), v.description('for CMAKE_HIP_ARCHITECTURES')),
    }),
    v.description('how the missing image is built, as `metahub gaps --format json` says it'),
  ),
});

/** The record of gaps, in the mirror's file and at `/api/v1/gaps`. */
export const GAPS = v.object({
  version: v.pipe(v.literal(1), v.description('the version of the format')),
  gaps: v.pipe(v.array(GAP), v.description('the missing builds')),
});

export type GapEventData = Readonly<v.InferOutput<typeof GAP_EVENT>>;

export type Gap = Readonly<v.InferOutput<typeof GAP>>;

/** @throws {v.ValiError} */
export function parseGaps(document: unknown): readonly Gap[] {
  return v.parse(GAPS, document).gaps;
}
