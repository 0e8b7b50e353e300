import * as v from 'valibot';
import { Count, described } from '../../document-schema.ts';

/** The output of `metahub config show --json`. */
export const CONFIG_IN_FORCE = v.object({
  file: described(v.nullable(v.string()), 'the configuration file; null: none'),
  settings: described(
    v.record(
      v.string(),
      v.object({
        value: v.optional(
          described(
            v.unknown(),
            'the value, as settings.schema.json describes it; absent: the setting has none',
          ),
        ),
        origin: described(
          v.picklist(['flag', 'environment', 'file', 'service', 'default']),
          'where it comes from; service: the options and variables of the installed service',
        ),
      }),
    ),
    'every setting, by its name in the file',
  ),
});

const Complaint = v.object({
  code: described(
    v.nullable(
      v.picklist([
        'unreadable',
        'too-large',
        'syntax',
        'unknown-key',
        'missing-key',
        'wrong-type',
        'invalid-value',
        'exists',
        'missing',
        'changed',
        'in-use',
        'busy',
        'read-only',
      ]),
    ),
    'a stable code for programs; null: none fits',
  ),
  file: described(v.nullable(v.string()), 'the file; null: the problem is in no file'),
  line: described(v.nullable(Count), 'the line in the file, from 1; null: unknown'),
  column: described(v.nullable(Count), 'the column in the line, from 1; null: unknown'),
  path: described(
    v.nullable(v.string()),
    'the path to the value: repositories["qnib/*"].pin; null: no single value',
  ),
  message: described(v.string(), 'the problem, with file, line, column and path'),
  nextStep: described(v.nullable(v.string()), 'what to do about it; null: the message says it'),
});

/** The output of `metahub config check --json`. */
export const CONFIG_CHECK = v.object({
  valid: described(v.boolean(), 'true: there are no complaints'),
  checks: described(
    v.array(
      v.object({
        path: described(v.string(), 'the file or directory; defaults: no configuration file'),
        kind: described(
          v.picklist([
            'settings',
            'image lists',
            'certificate',
            'profile',
            'machine types',
            'groups',
            'keys of a cloud',
            'variables',
            'file',
          ]),
          'the kind of its content; file: it is unreadable',
        ),
        complaints: described(v.array(Complaint), 'what is wrong in it'),
      }),
    ),
    'what was checked',
  ),
});
