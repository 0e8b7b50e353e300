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

/** A scope of one resource: its type (`repository`, `repository(plugin)`), its name, what is to be done with it. */
const SCOPE = /^([a-z0-9]+(?:\([a-z0-9]+\))?):([a-zA-Z0-9/._:-]{1,300}):([a-z_,*]{1,100})$/;
/** A scope that is a name of the registry's own (`aws`, at public.ecr.aws). */
const NAMED_SCOPE = /^[a-z0-9][a-z0-9._-]{0,63}$/i;

const READING = ['pull', 'metadata_read', 'content_read'];
const PUSHING = [...READING, 'push', 'metadata_write', 'content_write'];

/** `scope` with those actions only; undefined when nothing is left of it, or it cannot be read. */
function restrictScope(scope: string, actions: readonly string[]): string | undefined {
  if (NAMED_SCOPE.test(scope)) return scope;
  const [, type, name, asked = ''] = SCOPE.exec(scope) ?? [];
  const left = asked.split(',').filter((action) => actions.includes(action));
  return left.length === 0 ? undefined : `${type}:${name}:${left.join(',')}`;
}

/** What the challenge asks for, as far as `actions` go; with `own` when it names no repository. */
function scopesOf(challenge: Challenge, actions: readonly string[], own: string): string {
  const asked = (challenge.parameters.get('scope') ?? '')
    .split(' ')
    .map((scope) => restrictScope(scope, actions))
    .filter((scope) => scope !== undefined);
  return (asked.some((scope) => scope.startsWith('repository')) ? asked : [...asked, own]).join(' ');
}

/**
 * The scope to ask for, its parts separated by spaces: the challenge's own (behind a path prefix only the registry knows the
 * repository's full name, and some have types of their own), but never more than reading; a pull of `repository` when the
 * challenge names none.
 */
export function scopeOf(challenge: Challenge, repository: string): string {
  return scopesOf(challenge, READING, `repository:${repository}:pull`);
}

/** As {@link scopeOf} for a push; a mount asks for two scopes at once. */
export function pushScopeOf(challenge: Challenge, repository: string): string {
  return scopesOf(challenge, PUSHING, `repository:${repository}:pull,push`);
}
