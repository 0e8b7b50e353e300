import { visit } from 'jsonc-parser';
import { type JsonBounds, parseJson, USUAL_BOUNDS } from './json.ts';

/** An object has a name twice. Parsers differ in which of its values they take. */
export class RepeatedNameError extends SyntaxError {
  override readonly name = 'RepeatedNameError';
  readonly repeated: string;

  constructor(repeated: string) {
    super('an object has a name twice');
    this.repeated = repeated;
  }
}

function repeatedNameIn(json: string): string | undefined {
  const objects: Set<string>[] = [];
  let repeated: string | undefined;
  visit(json, {
    onObjectBegin: () => void objects.push(new Set()),
    onObjectEnd: () => void objects.pop(),
    onObjectProperty: (name) => {
      if (objects.at(-1)?.has(name)) repeated ??= name;
      objects.at(-1)?.add(name);
    },
  });
  return repeated;
}

/**
 * Parses JSON that decides about access or changes it: another program that reads the same text must not see other values.
 * @throws {RepeatedNameError}
 * @throws {SyntaxError} when it is not JSON, or exceeds the bounds
 * @see https://www.rfc-editor.org/rfc/rfc8259#section-4
 */
export function parseStrictJson(json: string, bounds: JsonBounds = USUAL_BOUNDS): unknown {
  const value = parseJson(Buffer.from(json), bounds);
  const repeated = repeatedNameIn(json);
  if (repeated !== undefined) throw new RepeatedNameError(repeated);
  return value;
}
