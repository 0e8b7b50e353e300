import { readTexts } from '../../settings/parse.ts';
import type { Setting } from '../../settings/setting.ts';
import { LOOKUP_SETTINGS, SERVE_SETTINGS } from '../../settings/table.ts';

/** As for `serve`, but of several hosts. */
export const EXPLAIN_SETTINGS = {
  ...LOOKUP_SETTINGS,
  /** Where the results of `metahub bench` are. */
  data: SERVE_SETTINGS.data,
  profile: {
    flags: '--profile <file>',
    repeatable: true,
    help: 'ask for this host (the output of detect --json); several make a table of hosts and entries',
    fallback: () => [],
    parse: readTexts,
  } satisfies Setting<readonly string[]>,
} as const;

export interface ExplainFlags {
  readonly json?: boolean;
  readonly digest?: boolean;
  readonly manifest?: string;
  readonly requires?: boolean;
  readonly readConfig?: boolean;
}
