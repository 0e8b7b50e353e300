import * as v from 'valibot';
import { GAP, GAP_EVENT } from '../../../selection/gap-schema.ts';
import { Count, described } from '../../document-schema.ts';

const { hosts: _, ...gap } = GAP.entries;

/** The output of `metahub gaps --json`. */
export const RANKED_GAPS = v.object({
  gaps: described(
    v.array(
      v.object({
        ...gap,
        hosts: described(Count, 'the number of kinds of hosts that pulled the image'),
        timesGeneric: described(
          v.nullable(v.number()),
          'the measured speed of a build for the same hardware relative to the generic entry; null: unknown',
        ),
        build: described(GAP_EVENT.entries.build, 'how the missing image is built'),
      }),
    ),
    'the missing builds, the most wanted first: by pulls times hosts',
  ),
});
