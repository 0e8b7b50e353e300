/**
 * Any characters (`*` within a component, `**` over several), one of a set, or one of several texts. The last two
 * have a kind of their own, because a text is tried at every place that the ones before it may end at.
 */
type Part =
  | { readonly kind: 'one'; readonly fits: (character: string) => boolean }
  | { readonly kind: 'any'; readonly crossesSlash: boolean }
  | { readonly kind: 'either'; readonly texts: readonly (readonly Part[])[] };

const one = (character: string): Part => ({ kind: 'one', fits: (other) => other === character });
const SLASH = one('/');
const STAR: Part = { kind: 'any', crossesSlash: false };
const GLOBSTAR: Part = { kind: 'any', crossesSlash: true };
const NO_SLASH: Part = { kind: 'one', fits: (character) => character !== '/' };

/** The test of a set's characters and ranges, as written inside `[…]`. Undefined for a range that runs backwards. */
export function readCharacters(inside: string): ((character: string) => boolean) | undefined {
  const ranges: (readonly [first: string, last: string])[] = [];
  for (let at = 0; at < inside.length; at += 1) {
    const first = inside[at] ?? '';
    const isRange = inside[at + 1] === '-' && at + 2 < inside.length;
    const last = isRange ? (inside[at + 2] ?? '') : first;
    if (last < first) return undefined;
    ranges.push([first, last]);
    if (isRange) at += 2;
  }
  return (character) => ranges.some(([first, last]) => character >= first && character <= last);
}

/** Reads a pattern from the left. */
class GlobReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** Undefined when the pattern is malformed: then it matches nothing. */
  read(): readonly Part[] | undefined {
    const parts = this.#sequence(false);
    return this.#at === this.#text.length ? parts : undefined;
  }

  #sequence(isInBraces: boolean): readonly Part[] | undefined {
    const parts: Part[] = [];
    while (this.#at < this.#text.length) {
      const character = this.#text[this.#at] ?? '';
      if (isInBraces && (character === ',' || character === '}')) break;
      const part = this.#part(character, isInBraces, parts.at(-1));
      if (part === undefined) return undefined;
      parts.push(...part);
    }
    return parts;
  }

  #part(character: string, isInBraces: boolean, before: Part | undefined): readonly Part[] | undefined {
    if (!isInBraces) {
      const components = this.#components(before);
      if (components !== undefined) return components;
    }
    if (character === '*') return this.#stars(isInBraces);
    this.#at += 1;
    if (character === '?') return [NO_SLASH];
    if (character === '[') return this.#set();
    if (character === '{') return this.#braces();
    return character === ']' || character === '}' ? undefined : [one(character)];
  }

  /** `**` that is a whole component, with the slashes beside it: it may stand for none, but not at the end after `*`. */
  #components(before: Part | undefined): readonly Part[] | undefined {
    if (this.#at === 0 && /^\*\*(?:\/\*\*)*$/.test(this.#text)) {
      this.#at = this.#text.length;
      return [GLOBSTAR];
    }
    const found = /^(?:\/\*\*)+(?:\/(?!\*\*(?:\/|$))|$)/.exec(this.#text.slice(this.#at))?.[0];
    const leading = this.#at === 0 ? /^(?:\*\*\/)+/.exec(this.#text)?.[0] : undefined;
    if (found !== undefined) {
      this.#at += found.length;
      if (found.endsWith('/')) return [{ kind: 'either', texts: [[SLASH], [SLASH, GLOBSTAR, SLASH]] }];
      return before === STAR ? [SLASH, GLOBSTAR] : [{ kind: 'either', texts: [[], [SLASH, GLOBSTAR]] }];
    }
    if (leading === undefined) return undefined;
    this.#at += leading.length;
    return [{ kind: 'either', texts: [[], [GLOBSTAR, SLASH]] }];
  }

  #stars(isInBraces: boolean): readonly Part[] {
    const start = this.#at;
    while (this.#text[this.#at] === '*') this.#at += 1;
    const isWhole =
      isInBraces &&
      this.#at - start === 2 &&
      '{,/'.includes(this.#text[start - 1] ?? '/') &&
      '},/'.includes(this.#text[this.#at] ?? '/');
    return [isWhole ? GLOBSTAR : STAR];
  }

  #set(): readonly Part[] | undefined {
    const end = this.#text.indexOf(']', this.#at);
    const fits = end <= this.#at ? undefined : readCharacters(this.#text.slice(this.#at, end));
    this.#at = end + 1;
    return fits && [{ kind: 'one', fits }];
  }

  #braces(): readonly Part[] | undefined {
    const texts: (readonly Part[])[] = [];
    for (;;) {
      const text = this.#sequence(true);
      const end = this.#text[this.#at];
      if (text === undefined || end === undefined) return undefined;
      texts.push(text);
      this.#at += 1;
      // Braces around a single text are no choice.
      if (end === '}') return texts.length > 1 ? [{ kind: 'either', texts }] : undefined;
    }
  }
}

type Places = ReadonlySet<number>;

function placesAfter(part: Part, text: string, before: Places): Places {
  const after = new Set<number>();
  switch (part.kind) {
    case 'one':
      for (const at of before) if (at < text.length && part.fits(text[at] ?? '')) after.add(at + 1);
      return after;
    case 'any':
      for (const start of before) {
        // From a place that is known already, nothing new can be reached.
        for (let at = start; !after.has(at); at += 1) {
          after.add(at);
          if (at === text.length || (text[at] === '/' && !part.crossesSlash)) break;
        }
      }
      return after;
    case 'either':
      for (const option of part.texts) for (const at of placesAfterAll(option, text, before)) after.add(at);
      return after;
  }
}

function placesAfterAll(parts: readonly Part[], text: string, before: Places): Places {
  return parts.reduce(
    (places, part) => (places.size === 0 ? places : placesAfter(part, text, places)),
    before,
  );
}

/**
 * Compiles a pattern with `*`, `**`, `?`, `[…]` and `{a,b}`. A match takes at most the product of both lengths: whoever
 * chooses a pattern or a text must not be able to hold the event loop, as they can where a regular expression backtracks.
 */
export function compileGlob(pattern: string): (text: string) => boolean {
  const parts = new GlobReader(pattern).read();
  return (text) => parts !== undefined && placesAfterAll(parts, text, new Set([0])).has(text.length);
}
