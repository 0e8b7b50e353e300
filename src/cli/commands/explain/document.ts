import * as v from 'valibot';
import { NOTE_CODES } from '../../../selection/assessment.ts';
import { BENCHMARK_RESULT } from '../../benchmark-results.ts';
import { Count, DigestText, described, MediaType, SizeBytes, Texts } from '../../document-schema.ts';

/** What an entry demands of a host. */
export const DEMAND = v.object({
  demand: described(v.string(), 'a feature: cpu:zen4; alternatives are separated by “or”'),
  source: described(v.string(), 'the field that contains it: platform.features'),
});
const Demands = described(v.array(DEMAND), 'what the entry demands of a host');
const ImageName = described(v.string(), 'the image, with its registry, or the file');
const Position = described(Count, 'the position in the index, from 0');
const Reason = described(v.string(), 'why, in words for people');

/** The platform of a host. */
export const HOST_PLATFORM = v.object({
  os: described(v.string(), 'GOOS: linux, darwin'),
  architecture: described(v.string(), 'GOARCH: amd64, arm64'),
  variant: v.optional(described(v.string(), 'the level of the architecture: v3, v8.2')),
});

const Policy = v.object({
  match: described(
    v.picklist(['best', 'exact']),
    'best: the best entry that the host runs; exact: an entry whose features equal the host’s',
  ),
  gpu: described(
    v.picklist(['all', 'any']),
    'with several GPUs: an entry must run on all of them, or on any',
  ),
  answer: described(v.picklist(['auto', 'index', 'manifest']), 'what the mirror answers with'),
  onNoMatch: described(v.picklist(['refuse', 'upstream']), 'when no entry runs on the host'),
  foreignDerived: described(
    v.picklist(['deliver', 'refuse']),
    'a derived index of another kind of host, requested by digest',
  ),
  allowForeignVendor: described(
    v.boolean(),
    'are entries for another vendor’s CPU eligible when the host has every flag they need',
  ),
  priority: v.optional(
    described(Texts, 'kinds of features by which eligible entries rank, most important first'),
  ),
  pin: v.optional(described(v.string(), 'a digest, or a feature: an eligible entry that has it wins')),
  baseline: v.optional(described(Texts, 'what entries without a CPU demand need nevertheless')),
  denyAnnotations: v.optional(
    described(Texts, 'prefixes of annotations: entries that have one are not served'),
  ),
  readConfig: v.optional(described(v.boolean(), 'is NVIDIA_REQUIRE_* of the images read')),
  readCompatibility: v.optional(described(v.boolean(), 'are compatibility artifacts read')),
});

const Entry = v.object({
  position: Position,
  digest: DigestText,
  mediaType: MediaType,
  sizeBytes: SizeBytes,
  platform: described(v.unknown(), 'the platform as the index states it; null: none'),
  demands: Demands,
});

const Verdict = v.object({
  position: Position,
  digest: DigestText,
  status: described(
    v.picklist(['winner', 'eligible', 'ineligible', 'denied', 'foreign', 'attestation', 'unjudged']),
    'eligible: the host runs it; ineligible: a demand fails; denied: by the operator; foreign: another platform; ' +
      'unjudged: it is no image',
  ),
  reason: Reason,
  demands: Demands,
  failures: described(
    v.array(v.object({ ...DEMAND.entries, why: described(v.string(), 'why it does not hold') })),
    'the demands that do not hold on this host',
  ),
  measured: described(
    v.array(BENCHMARK_RESULT),
    'what metahub bench measured for the entry on this machine, for hosts with the same CPU',
  ),
});

const document = { reason: Reason, digest: DigestText, mediaType: MediaType, sizeBytes: SizeBytes };

const Answer = v.union([
  v.object({
    kind: described(
      v.picklist(['original', 'derived', 'entry']),
      'original: the index of the registry; derived: an index that MetaHub writes; entry: the manifest of the winner',
    ),
    ...document,
  }),
  v.object({
    kind: described(v.literal('refused'), 'no entry runs on the host'),
    reason: Reason,
    digest: described(
      v.nullable(v.string()),
      'the digest of an index at which the runtime stops; null: an error',
    ),
    mediaType: described(v.nullable(v.string()), 'the media type; null: an error'),
    sizeBytes: described(v.nullable(Count), 'the size in bytes; null: an error'),
    detail: described(
      v.object({
        host: described(Texts, 'the features of the host'),
        entries: described(
          v.array(v.object({ digest: DigestText, reason: Reason })),
          'entries that the host cannot run, 32 at most',
        ),
      }),
      'what the error tells the client',
    ),
  }),
]);

const Host = v.object({
  host: described(v.string(), 'the name of the host'),
  machines: v.optional(described(Count, 'with --fleet: how many such machines pulled lately')),
  platform: described(HOST_PLATFORM, 'the platform of the host'),
  features: described(Texts, 'what the host has: cpu:zen4, nvcap:9.0'),
  winner: described(v.nullable(Count), 'the position of the entry that the host gets; null: none is chosen'),
  verdicts: described(v.array(Verdict), 'one for each entry; empty when the image is not an index'),
  answer: described(Answer, 'the mirror’s answer to a client that accepts an index'),
  notes: described(
    v.array(
      v.object({
        code: described(v.picklist(NOTE_CODES), 'a stable code for programs'),
        text: described(v.string(), 'the note'),
      }),
    ),
    'what people should know about the choice',
  ),
});

/** The output of `metahub explain --json`. */
export const EXPLANATION = v.object({
  image: ImageName,
  digest: DigestText,
  mediaType: MediaType,
  policy: described(Policy, 'the policy of the image'),
  suggestion: described(
    v.nullable(v.string()),
    'the entry of the catalogue that has a list for the image and is not enabled; null: none',
  ),
  entries: described(
    v.array(Entry),
    'the entries, independent of hosts; empty when the image is not an index',
  ),
  hosts: described(v.array(Host), 'what each host gets'),
});

/** The output of `metahub explain --requires --json`. */
export const LEAST_HARDWARE = v.object({
  image: ImageName,
  digest: DigestText,
  least: described(
    v.array(
      v.object({
        platform: described(v.string(), 'the platform: linux/amd64'),
        features: described(Texts, 'what a host must have; empty: any host of the platform'),
        positions: described(v.array(Count), 'the positions of the entries that demand exactly this, from 0'),
      }),
    ),
    'the sets of features of which no other set demands less; empty: no host can run any entry',
  ),
});
