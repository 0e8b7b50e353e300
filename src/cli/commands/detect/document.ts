import * as v from 'valibot';
import { described, Texts } from '../../document-schema.ts';

/** The output of `metahub detect VALUE --json` and of `metahub detect --features --json`. */
export const DETECTED_VALUES = Texts;

/** The output of `metahub detect --compiler NAME@VERSION --json`. */
export const COMPILER_ANSWER = v.object({
  compiler: described(
    v.object({
      name: described(v.string(), 'the program: gcc'),
      version: v.optional(described(v.string(), 'its version: 12.3; absent: the newest')),
    }),
    'the compiler',
  ),
  flags: described(v.string(), 'the flags with which it builds for the host'),
  microarchitecture: described(
    v.string(),
    'what these flags build for: the host’s microarchitecture, or the best one below it that this version knows',
  ),
});

const kind = <const Kind extends string>(name: Kind, text: string) => described(v.literal(name), text);

/** The output of `metahub detect --why-not NAME --json`. */
export const WHY_NOT = v.object({
  name: described(v.string(), 'the canonical name of the microarchitecture'),
  runs: described(v.boolean(), 'true: the host runs code that is built for it'),
  reasons: described(
    v.array(
      v.union([
        v.object({
          kind: kind('unknown', 'there is no such microarchitecture'),
          suggestions: described(Texts, 'similar names'),
        }),
        v.object({
          kind: described(v.picklist(['family', 'vendor']), 'it belongs to another architecture or maker'),
          needs: described(v.string(), 'the one that it belongs to'),
          has: described(v.string(), 'the one of the host'),
        }),
        v.object({
          kind: kind('flags', 'the CPU lacks instructions'),
          missing: described(Texts, 'the flags that it lacks'),
        }),
        v.object({
          kind: kind('generation', 'the CPU is of an earlier generation'),
          needs: described(v.number(), 'the generation: 9 for POWER9'),
          has: v.optional(described(v.number(), 'the one of the host; absent: unknown')),
        }),
        v.object({
          kind: kind('model', 'the flags would suffice, but the CPU is another model'),
          needs: described(v.string(), 'the model'),
          has: v.optional(described(v.string(), 'the one of the host; absent: unknown')),
        }),
      ]),
    ),
    'why the host does not run it; empty: it does',
  ),
});

/** The output of `metahub detect --verify --json`. */
export const DETECTION_CHECKS = v.array(
  v.object({
    source: described(v.string(), 'what was asked: gcc 14, clang 19, ld.so, lscpu, instructions'),
    says: described(v.string(), 'its answer'),
    verdict: described(
      v.picklist(['agrees', 'explained', 'contradicts']),
      'explained: the answers differ, and both are right; contradicts: one of them is wrong',
    ),
    why: v.optional(described(v.string(), 'what a difference means')),
  }),
);
