import * as v from 'valibot';
import { described } from '../../document-schema.ts';

const name = described(v.string(), 'the name of the check: docker: uses the mirror');
const message = described(v.string(), 'the result in one line');

/** The output of `metahub doctor --json`. */
export const DOCTOR_REPORT = v.object({
  checks: described(
    v.array(
      v.union([
        v.object({ name, status: described(v.literal('pass'), 'nothing is to be done'), message }),
        v.object({
          name,
          status: described(
            v.picklist(['warn', 'fail']),
            'warn: pulls work nevertheless, or it could not be checked',
          ),
          message,
          remedy: described(v.string(), 'what to do about it'),
        }),
      ]),
    ),
    'the checks of this machine, in a fixed order',
  ),
});
