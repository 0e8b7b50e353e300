import { RegistryError } from '../oci/registry-error.ts';

const KNOWN = ['ns', 'n', 'last', 'artifactType'] as const;

/** The API's parameters, percent-decoded. `+` stands for itself: no value holds a space, and media types hold `+`. */
export type Query = { readonly [Name in (typeof KNOWN)[number]]?: string };

function isKnown(name: string): name is keyof Query {
  return (KNOWN as readonly string[]).includes(name);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new RegistryError('UNSUPPORTED', 'malformed query', { status: 400, cause });
  }
}

/**
 * Reads a raw query string; unknown parameters are passed over.
 * @throws {RegistryError} UNSUPPORTED with 400 for a malformed escape, or a parameter given twice: two readers could
 * disagree on which of them counts.
 */
export function parseQuery(text: string): Query {
  const query: { -readonly [Name in keyof Query]: Query[Name] } = {};
  if (text === '') return query;
  for (const pair of text.split('&')) {
    const equals = pair.indexOf('=');
    const name = decode(equals < 0 ? pair : pair.slice(0, equals));
    if (!isKnown(name)) continue;
    if (query[name] !== undefined) {
      throw new RegistryError('UNSUPPORTED', `${name} was given twice`, { status: 400 });
    }
    query[name] = equals < 0 ? '' : decode(pair.slice(equals + 1));
  }
  return query;
}
