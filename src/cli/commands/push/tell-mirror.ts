import type { PushPlan } from './plan.ts';

const ANSWER_MS = 5000;

/**
 * Has a mirror look up the tags that were pushed, which it would believe for `--tag-max-age`. That there is none, or that it
 * serves no such registry, is no matter: then it believes nothing.
 */
export async function tellMirror(url: string, { repository, tags, index }: PushPlan): Promise<void> {
  for (const tag of tags) {
    await fetch(`${url}/v2/${repository.host}/${repository.name}/manifests/${tag}`, {
      method: 'HEAD',
      headers: { accept: index.mediaType, 'cache-control': 'no-cache' },
      redirect: 'manual',
      signal: AbortSignal.timeout(ANSWER_MS),
    }).catch(() => undefined);
  }
}
