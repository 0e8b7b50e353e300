import {
  Any,
  type AsnType,
  Constructed,
  compareSchema,
  fromBER,
  ObjectIdentifier,
  Repeated,
  Sequence,
} from 'asn1js';

type Schema = Parameters<typeof compareSchema>[2];
type Kind<Part> = abstract new (...parameters: never[]) => Part;

/** The parts of a document that the names of a schema matched. */
export interface Asn1Parts {
  /** Returns a part; undefined when the document does not have it. */
  readonly one: <Part extends AsnType>(name: string, kind: Kind<Part>) => Part | undefined;
  /**
   * Returns the parts of a repetition: an empty list when the document does not have it, undefined when one
   * part is of another kind.
   */
  readonly all: <Part extends AsnType>(name: string, kind: Kind<Part>) => readonly Part[] | undefined;
}

/**
 * True when no element of a document that matches the schema has more parts than the schema names: the library
 * ignores those. A constructed element without parts in the schema may have any.
 */
function hasNoOtherParts(element: AsnType, schema: Schema): boolean {
  if (!(schema instanceof Constructed && element instanceof Constructed)) return true;
  const [parts, schemas] = [element.valueBlock.value, schema.valueBlock.value];
  const [first] = schemas;
  if (first === undefined) return true;
  if (first instanceof Repeated) return parts.every((part) => hasNoOtherParts(part, first.value));
  let read = 0;
  for (const expected of schemas) {
    const part = parts[read];
    // A part that does not match is behind an optional one, which is absent.
    if (part === undefined || !compareSchema(part, part, expected).verified) continue;
    if (!hasNoOtherParts(part, expected)) return false;
    read += 1;
  }
  return read === parts.length;
}

/** Parses BER. @returns undefined for a document that does not match the schema, or has more than that */
export function readAsn1(bytes: Uint8Array, schema: Schema): Asn1Parts | undefined {
  const { offset, result: root } = fromBER(bytes);
  if (offset !== bytes.length) return undefined;
  const { verified, result } = compareSchema(root, root, schema);
  if (!verified || !hasNoOtherParts(root, schema)) return undefined;
  const parts = new Map<string, unknown>(Object.entries(result));
  return {
    one: (name, kind) => {
      const part = parts.get(name);
      return part instanceof kind ? part : undefined;
    },
    all: <Part extends AsnType>(name: string, kind: Kind<Part>) => {
      const found: unknown = parts.get(name) ?? [];
      const isOfKind = (part: unknown): part is Part => part instanceof kind;
      return Array.isArray(found) && found.every(isOfKind) ? found : undefined;
    },
  };
}

/** An algorithm with its parameters. */
export function algorithmSchema(name?: string): Sequence {
  return new Sequence({
    value: [new ObjectIdentifier(name === undefined ? {} : { name }), new Any({ optional: true })],
  });
}
