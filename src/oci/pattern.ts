import * as v from 'valibot';
import { shown } from '../lib/schema.ts';
import { compileGlob, readCharacters } from './glob.ts';
import { DOCKER_HUB, formatRepository, type Repository, splitHost } from './reference.ts';

/**
 * Patterns of repositories: `ghcr.io/lab/*` matches one path component, `ghcr.io/lab/**` any number of them,
 * `qnib/*` is on Docker Hub, and `*` and `**` match everything.
 */
export interface RepositoryPatterns {
  readonly matches: (repository: Repository) => boolean;
  /** Equal for equal patterns in any order; undefined when everything matches. */
  readonly canonical: string | undefined;
}

/** The characters of repository names and of `*`, `?`, `[…]` and `{a,b}`. */
const REPOSITORY_PATTERN = /^[A-Za-z0-9._:/*?[\]{},-]+$/;

/** Longer than any repository name. */
const REPOSITORY_PATTERN_MAX = 1024;

/** A pattern of {@link RepositoryPatterns} in a configuration file. */
export const RepositoryPattern = v.pipe(
  v.string(),
  v.regex(REPOSITORY_PATTERN, ({ input }) => `${shown(input)} is not a pattern of repositories`),
  v.maxLength(
    REPOSITORY_PATTERN_MAX,
    `a pattern of repositories has at most ${REPOSITORY_PATTERN_MAX} characters`,
  ),
  v.examples(['ghcr.io/lab/*', 'qnib/**', '*']),
);

const isEverything = (pattern: string) => pattern === '*' || pattern === '**';

/** Completes a pattern by Docker's rules for short names, which imply the host and `library/`. */
function complete(pattern: string): string {
  if (pattern.startsWith('*') || splitHost(pattern).host !== undefined) return pattern;
  return pattern.includes('/') ? `${DOCKER_HUB}/${pattern}` : `${DOCKER_HUB}/library/${pattern}`;
}

/** Compiles patterns. An empty list matches nothing. */
export function createRepositoryPatterns(patterns: readonly string[]): RepositoryPatterns {
  if (patterns.some(isEverything)) return { matches: () => true, canonical: undefined };
  const completed = [...new Set(patterns.map(complete))].sort();
  const globs = completed.map(compileGlob);
  return {
    matches: (repository) => {
      const name = formatRepository(repository);
      return globs.some((matches) => matches(name));
    },
    canonical: completed.join('\n'),
  };
}

/** The hosts that patterns name without wildcards. A bare repository name may belong to any of them. */
export function hostsNamed(patterns: readonly string[]): readonly string[] {
  const hosts = patterns.map((pattern) => splitHost(pattern).host).filter((host) => host !== undefined);
  return [...new Set(hosts.filter((host) => !/[*?[{]/.test(host)))];
}

/** The part of error messages that explains patterns of tags. */
export const TAG_WILDCARDS =
  '* stands for any characters, ? for one, [0-9] for one of a set; a pattern after ! takes tags away';

/** One step of a pattern: any number of characters, or one character. */
type Step = '*' | ((character: string) => boolean);

/** A parsed pattern of tags. */
export interface TagPattern {
  /** The pattern as written. */
  readonly text: string;
  /** True for `!v*-rc*`: matching tags are excluded. */
  readonly excludes: boolean;
  readonly steps: readonly Step[];
  /** True when the pattern has no wildcard, so that it names one tag. */
  readonly isLiteral: boolean;
  /** The number of `*`. */
  readonly captures: number;
}

const TAG_CHARACTER = /^[\w.-]$/;
const LENGTH_MAX = 256;

/** Parses the inside of `[…]`: characters and ranges; after `!` or `^`, all others. */
function readSet(inside: string): ((character: string) => boolean) | undefined {
  const negated = /^[!^]/.test(inside);
  const body = negated ? inside.slice(1) : inside;
  if (body === '' || !/^[\w.-]+$/.test(body)) return undefined;
  const fits = readCharacters(body);
  return fits && ((character) => fits(character) !== negated);
}

function readSteps(text: string): readonly Step[] | undefined {
  const steps: Step[] = [];
  for (let at = 0; at < text.length; at += 1) {
    const character = text[at] ?? '';
    if (character === '*') {
      if (steps.at(-1) !== '*') steps.push('*');
    } else if (character === '?') {
      steps.push(() => true);
    } else if (character === '[') {
      const end = text.indexOf(']', at);
      const set = end < 0 ? undefined : readSet(text.slice(at + 1, end));
      if (set === undefined) return undefined;
      steps.push(set);
      at = end;
    } else if (TAG_CHARACTER.test(character)) {
      steps.push((other) => other === character);
    } else {
      return undefined;
    }
  }
  return steps;
}

/** Parses a pattern of tags: `v*`, `[0-9].?`, `!*-rc*`. Undefined when it is invalid. */
export function parseTagPattern(text: string): TagPattern | undefined {
  const excludes = text.startsWith('!');
  const body = excludes ? text.slice(1) : text;
  if (body === '' || body.length > LENGTH_MAX) return undefined;
  const steps = readSteps(body);
  if (steps === undefined) return undefined;
  return {
    text,
    excludes,
    steps,
    isLiteral: /^[\w.-]+$/.test(body),
    captures: steps.filter((step) => step === '*').length,
  };
}

/**
 * What each `*` of the pattern stands for in this tag, earlier ones as short as possible. Undefined when the
 * pattern does not match. The work is at most the product of both lengths, although anyone can choose the tag.
 */
function capturesOf(steps: readonly Step[], tag: string): readonly string[] | undefined {
  const dead = new Set<number>();
  const width = tag.length + 1;
  const match = (step: number, at: number): readonly string[] | undefined => {
    if (dead.has(step * width + at)) return undefined;
    const found = tryMatch(step, at);
    if (found === undefined) dead.add(step * width + at);
    return found;
  };
  const tryMatch = (step: number, at: number): readonly string[] | undefined => {
    const wanted = steps[step];
    if (wanted === undefined) return at === tag.length ? [] : undefined;
    if (wanted !== '*') {
      const character = tag[at];
      return character !== undefined && wanted(character) ? match(step + 1, at + 1) : undefined;
    }
    for (let end = at; end <= tag.length; end += 1) {
      const rest = match(step + 1, end);
      if (rest !== undefined) return [tag.slice(at, end), ...rest];
    }
    return undefined;
  };
  return match(0, 0);
}

/**
 * What each `*` of the first matching pattern stands for. Undefined when no pattern matches, or when one with `!`
 * does.
 */
export function matchTag(patterns: readonly TagPattern[], tag: string): readonly string[] | undefined {
  if (patterns.some(({ excludes, steps }) => excludes && capturesOf(steps, tag) !== undefined))
    return undefined;
  for (const { excludes, steps } of patterns) {
    const found = excludes ? undefined : capturesOf(steps, tag);
    if (found !== undefined) return found;
  }
  return undefined;
}
