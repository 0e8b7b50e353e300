import * as v from 'valibot';
import { RUNTIME_SETUP_NAMES } from '../../../setup/runtime.ts';
import { described, Texts } from '../../document-schema.ts';

const error = described(v.nullable(v.string()), 'why it failed; null: it did not');

/** The output of `metahub setup --json`. */
export const SETUP_REPORT = v.object({
  runtimes: described(
    v.array(
      v.object({
        runtime: described(v.picklist(RUNTIME_SETUP_NAMES), 'the runtime'),
        changes: described(
          v.array(
            v.object({
              path: described(v.string(), 'the file'),
              before: described(v.nullable(v.string()), 'its text before; null: there was no file'),
              after: described(v.nullable(v.string()), 'its text after; null: it is removed'),
            }),
          ),
          'the files that setup changed, or with --dry-run would change',
        ),
        warnings: described(Texts, 'what may prevent the runtime from using the mirror'),
        reload: described(
          v.nullable(v.string()),
          'the command that makes the runtime read the changes; null: none is needed',
        ),
        error,
      }),
    ),
    'the runtimes, each left unchanged when it has an error',
  ),
  reloads: described(
    v.array(v.object({ command: described(v.string(), 'the command'), error })),
    'the commands that --reload ran, each once',
  ),
});
