import type { Challenge } from './challenge.ts';

const PULL_SCOPE = /^repository:[a-z0-9/._-]{1,255}:pull$/;

/**
 * The scope to ask for: the challenge's own if it asks for nothing but a pull (behind a path prefix only the registry
 * knows the repository's full name), else a pull of `repository`.
 */
export function scopeOf(challenge: Challenge, repository: string): string {
  const asked = challenge.parameters.get('scope') ?? '';
  return PULL_SCOPE.test(asked) ? asked : `repository:${repository}:pull`;
}

const PUSH_SCOPES = /^repository:[a-z0-9/._-]{1,255}:(?:pull|push|pull,push|push,pull)$/;

/** As {@link scopeOf} for a push; a mount asks for two scopes at once, separated by a space. */
export function pushScopeOf(challenge: Challenge, repository: string): string {
  const asked = (challenge.parameters.get('scope') ?? '').split(' ').filter((scope) => scope !== '');
  const isPush = asked.length > 0 && asked.every((scope) => PUSH_SCOPES.test(scope));
  return isPush ? asked.join(' ') : `repository:${repository}:pull,push`;
}
