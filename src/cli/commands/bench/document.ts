import * as v from 'valibot';
import { BENCHMARK_RESULT } from '../../benchmark-results.ts';
import { Count, DigestText, described, Texts } from '../../document-schema.ts';
import { HOST_PLATFORM } from '../explain/document.ts';

/** The output of `metahub bench --json`. */
export const BENCH_REPORT = v.object({
  image: described(v.string(), 'the image, with its registry: docker.io/qnib/bench:latest'),
  platform: described(HOST_PLATFORM, 'the platform of this host'),
  features: described(Texts, 'what this host has: cpu:zen4, nvcap:9.0'),
  runtime: described(v.string(), 'the runtime that ran the entries'),
  rounds: described(Count, 'how often each entry ran in each permutation'),
  warmUps: described(Count, 'how often each ran before, uncounted'),
  cpus: described(v.nullable(v.string()), 'the CPUs that the runs were pinned to: 0-3; null: all'),
  entries: described(
    v.array(
      v.object({
        position: described(Count, 'the position in the index, from 0'),
        digest: DigestText,
        demands: described(v.string(), 'what the entry demands; empty: nothing'),
        isWinner: described(v.boolean(), 'does this host get it'),
      }),
    ),
    'the entries that ran',
  ),
  results: described(v.array(BENCHMARK_RESULT), 'one for each entry and permutation that did not fail'),
  failures: described(
    v.array(
      v.object({
        entry: described(v.string(), 'the digest of the entry'),
        permutation: described(v.string(), 'the environment and arguments, in one line'),
        why: described(v.string(), 'why the run failed'),
      }),
    ),
    'one for each entry and permutation that failed',
  ),
});
