import { isDeepStrictEqual } from 'node:util';
import type { ServeSettings } from './compose.ts';
import type { GapEventSender } from './gap-events.ts';
import type { GapRecord } from './gap-record.ts';
import type { SiteMode } from './site.ts';

type ServeValues = ServeSettings['values'];

/** The settings that a reload applies. All others need a restart. */
const RELOADED: ReadonlySet<string> = new Set<keyof ServeValues>([
  ...(['profile', 'set', 'images', 'catalog', 'catalogBaselines'] as const),
  ...(['policy', 'repositories', 'match', 'answer', 'onNoMatch'] as const),
  ...(['gapWebhook', 'gapWebhookSecret', 'oidc', 'enrolment'] as const),
]);

/** Settings that need a site. A mirror without one gets it only by a restart. */
const OF_SITE: ReadonlySet<string> = new Set<keyof ServeValues>(['oidc', 'enrolment']);

/** Returns the names of settings that have changed since the start and need a restart. */
export function needRestart(
  started: ServeValues,
  current: ServeValues,
  { isSite }: { readonly isSite: boolean },
): readonly string[] {
  return Object.keys(started).filter((key) => {
    const name = key as keyof ServeValues;
    const isApplied = RELOADED.has(key) && (isSite || !OF_SITE.has(key));
    return !isApplied && !isDeepStrictEqual(started[name], current[name]);
  });
}

export interface ReloadedParts {
  readonly webhook: GapEventSender;
  readonly gaps: GapRecord;
  /** Undefined: the mirror serves this host alone. */
  readonly site: Pick<SiteMode, 'prepare'> | undefined;
}

/**
 * Reads the settings of the webhook and the site again; returns the function that applies them.
 * @throws {UserError} when they are unusable: nothing has changed then
 */
export async function prepareReload(
  { siteUrl }: ServeValues,
  next: ServeValues,
  { webhook, gaps, site }: ReloadedParts,
): Promise<() => Promise<void>> {
  // A change of the site's URL needs a restart.
  const applyWebhook = await webhook.prepare({ ...next, siteUrl });
  const applySite = await site?.prepare(next);
  return async () => {
    applySite?.();
    if (await applyWebhook()) gaps.announce();
  };
}
