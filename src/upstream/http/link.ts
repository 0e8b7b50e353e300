/** One link of a `Link` header; parameter names in lower case. */
export interface Link {
  /** The reference as it was written, not resolved. */
  readonly target: string;
  readonly parameters: ReadonlyMap<string, string>;
}

const HEADER_MAX_CHARACTERS = 16 * 1024;

const TARGET = /[\s,;]*<([^<>]*)>/y;
/** A name, and a value that is a quoted string with escapes, or a token. */
const PARAMETER = /\s*;\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,;"]*)))?/y;

/**
 * The links of a `Link` value, in order. It ends at the first thing that is no link: what stands behind is of no known form.
 * @see https://www.rfc-editor.org/rfc/rfc8288#section-3
 */
export function parseLinks(header: string): readonly Link[] {
  const text = header.slice(0, HEADER_MAX_CHARACTERS);
  const links: Link[] = [];
  let position = 0;
  const take = (pattern: RegExp) => {
    pattern.lastIndex = position;
    const match = pattern.exec(text);
    if (match) position = pattern.lastIndex;
    return match;
  };
  for (let target = take(TARGET); target; target = take(TARGET)) {
    const parameters = new Map<string, string>();
    for (let parameter = take(PARAMETER); parameter; parameter = take(PARAMETER)) {
      const [, name = '', quoted, token = ''] = parameter;
      const value = quoted?.replaceAll(/\\(.)/g, '$1') ?? token;
      // The first of two counts, as the specification has it for `rel`.
      if (!parameters.has(name.toLowerCase())) parameters.set(name.toLowerCase(), value);
    }
    links.push({ target: target[1] ?? '', parameters });
  }
  return links;
}

/** The target of the first link of this relation type; one link may have several, separated by spaces. */
export function linkOf(header: string, relation: string): string | undefined {
  const link = parseLinks(header).find(({ parameters }) =>
    parameters.get('rel')?.toLowerCase().split(/\s+/).includes(relation),
  );
  return link?.target;
}
