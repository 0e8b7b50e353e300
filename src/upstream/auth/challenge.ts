/** What a `WWW-Authenticate` header asks for; scheme and parameter names in lower case. */
export interface Challenge {
  readonly scheme: string;
  readonly parameters: ReadonlyMap<string, string>;
}

const HEADER_MAX_CHARACTERS = 8192;

const SEPARATORS = /[\s,]*/y;
const TOKEN = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
/** `=value` behind a parameter's name: a quoted string with escapes, or a token (lenient: up to a comma or space). */
const VALUE = /\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))/y;
/** What a scheme may carry instead of parameters. */
const TOKEN68 = /[ \t]+[0-9A-Za-z._~+/-]+=*(?=[ \t]*(?:,|$))/y;

/** A regular expression applied at a moving position of one text. */
function scannerOf(text: string) {
  let position = 0;
  return {
    atEnd: () => position >= text.length,
    skipOne: () => {
      position += 1;
    },
    take: (pattern: RegExp): RegExpExecArray | undefined => {
      pattern.lastIndex = position;
      const match = pattern.exec(text);
      if (match === null) return undefined;
      position = pattern.lastIndex;
      return match;
    },
  };
}

/**
 * The challenges of a `WWW-Authenticate` value, in order: several may share one header, their parameters may be quoted
 * and hold commas. Garbage is skipped, never thrown at: a challenge that cannot be read is one that is not met.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-11.6.1
 */
export function parseChallenges(header: string): readonly Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  const scan = scannerOf(header.slice(0, HEADER_MAX_CHARACTERS));
  while (!scan.atEnd()) {
    scan.take(SEPARATORS);
    const name = scan.take(TOKEN)?.[0].toLowerCase();
    if (name === undefined) {
      scan.skipOne();
      continue;
    }
    const value = scan.take(VALUE);
    if (value === undefined) {
      challenges.push({ scheme: name, parameters: new Map() });
      scan.take(TOKEN68);
      continue;
    }
    const parameters = challenges.at(-1)?.parameters;
    // The first of two wins: a parameter repeated further on must not redirect what the first one said.
    if (parameters && !parameters.has(name)) {
      parameters.set(name, value[1]?.replaceAll(/\\(.)/g, '$1') ?? value[2] ?? '');
    }
  }
  return challenges;
}

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
