import { shapeOf, USUAL_BOUNDS } from '../lib/bounded-json.ts';
import { RegistryError } from './registry-error.ts';

/** A manifest that is too deep or has too many parts to be parsed. */
export class DocumentBoundsError extends RegistryError {
  constructor(why: string) {
    super('MANIFEST_INVALID', `the manifest ${why}`);
  }
}

/**
 * Refuses a manifest that is not worth parsing, before it is parsed: of any depth, or with any number of entries, features
 * or annotations. Specs nest a few levels, and an index of a thousand entries has about 30,000 names and values.
 * @throws {DocumentBoundsError}
 */
export function checkShape(bytes: Uint8Array): void {
  const { depth, values } = shapeOf(bytes, USUAL_BOUNDS);
  if (depth > USUAL_BOUNDS.depth) {
    throw new DocumentBoundsError(`nests deeper than ${USUAL_BOUNDS.depth} levels`);
  }
  if (values > USUAL_BOUNDS.values) {
    throw new DocumentBoundsError(`has more than ${USUAL_BOUNDS.values} names and values`);
  }
}
