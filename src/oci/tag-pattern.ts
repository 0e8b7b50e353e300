/** What stands in an error that refuses a pattern. */
export const TAG_WILDCARDS =
  '* stands for any characters, ? for one, [0-9] for one of a set; a pattern after ! takes tags away';

/** One step of a pattern: any run of characters, or one character. */
type Step = '*' | ((character: string) => boolean);

/** A pattern of tags, read. */
export interface TagPattern {
  /** As it was written. */
  readonly text: string;
  /** `!v*-rc*`: what it matches is taken away. */
  readonly excludes: boolean;
  readonly steps: readonly Step[];
  /** It names one tag: there is no wildcard in it. */
  readonly isLiteral: boolean;
  /** How many `*` it has. */
  readonly captures: number;
}

const TAG_CHARACTER = /^[\w.-]$/;
const LENGTH_MAX = 256;

/** The inside of `[…]`: characters and ranges, after `!` or `^` their opposite. */
function readSet(inside: string): ((character: string) => boolean) | undefined {
  const negated = /^[!^]/.test(inside);
  const body = negated ? inside.slice(1) : inside;
  if (body === '' || !/^[\w.-]+$/.test(body)) return undefined;
  const ranges: (readonly [first: string, last: string])[] = [];
  for (let at = 0; at < body.length; at += 1) {
    const first = body[at] ?? '';
    const isRange = body[at + 1] === '-' && at + 2 < body.length;
    const last = isRange ? (body[at + 2] ?? '') : first;
    if (last < first) return undefined;
    ranges.push([first, last]);
    if (isRange) at += 2;
  }
  return (character) => ranges.some(([first, last]) => character >= first && character <= last) !== negated;
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

/** Reads `v*`, `[0-9].?`, `!*-rc*`; nothing for a text that is no pattern of tags. */
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
 * What each `*` of the pattern stands for in this tag, the earlier ones as short as possible; nothing when it does not match. The
 * work is bounded by the product of both lengths: a pattern comes from a file, a tag from anyone.
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
 * What the `*` of the first pattern that matches stand for; nothing when none matches, or one after `!` does. The order of the
 * patterns does not matter otherwise.
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
