import { ConfigError } from '../../lib/config-error.ts';
import { closestWord } from '../../lib/text.ts';
import { variableOf } from './setting.ts';
import type { Environment } from './surroundings.ts';
import { SERVE_SETTINGS } from './table.ts';

const PREFIX = 'METAHUB_';

/** Variables of this name that are no settings. METAHUB_IMAGE and METAHUB_VERSION are those of deploy/compose. */
const OTHERS: ReadonlySet<string> = new Set(
  ['CONFIG', 'CONTAINER', 'DEBUG', 'IMAGE', 'MIRROR', 'SITE_ACCOUNT', 'VERSION'].map((name) => PREFIX + name),
);

/**
 * Returns an error for each variable that is most probably a misspelt setting. Other programs may have variables with the
 * same prefix, so a name that is close to no setting is none of ours.
 */
export function mistakenVariables(environment: Environment): readonly ConfigError[] {
  const known = Object.keys(SERVE_SETTINGS).map((name) => variableOf(name).slice(PREFIX.length));
  return Object.entries(environment).flatMap(([name, value]) => {
    const own = name.slice(PREFIX.length);
    const isOther =
      value === undefined || !name.startsWith(PREFIX) || OTHERS.has(name) || known.includes(own);
    const meant = isOther ? undefined : closestWord(own, known);
    if (meant === undefined) return [];
    return [
      new ConfigError('unknown-key', `there is no such setting; did you mean ${PREFIX}${meant}?`, {
        path: [name],
        nextStep: 'metahub config show lists the settings; cacheSize is METAHUB_CACHE_SIZE.',
      }),
    ];
  });
}
