import { Any, type AsnType, ObjectIdentifier, Sequence, verifySchema } from 'asn1js';

type Schema = Parameters<typeof verifySchema>[1];
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

/** Parses BER. @returns undefined for a document that does not match the schema */
export function readAsn1(bytes: Uint8Array, schema: Schema): Asn1Parts | undefined {
  const { verified, result } = verifySchema(bytes, schema);
  if (!verified) return undefined;
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
