import * as v from 'valibot';
import { readValue } from '../../src/lib/config-source.ts';
import { type FeatureSchema, type ListSpec, listSchema } from '../../src/oci/image-list.ts';
import { DEFAULT_POLICY, type SelectionPolicy } from '../../src/selection/policy.ts';
import { PolicyText, withChanges } from '../../src/selection/policy-schema.ts';

/** One list of images, parsed with the schema of the files. Accepts any features by default. @throws {ConfigError} */
export function readList(value: unknown, feature: FeatureSchema = v.string()): ListSpec {
  return readValue(listSchema(feature), value);
}

/** A policy, parsed with the schema of the files, on top of `base`. @throws {ConfigError} */
export function readPolicy(value: unknown, base: SelectionPolicy = DEFAULT_POLICY): SelectionPolicy {
  return withChanges(base, readValue(PolicyText, value ?? {}));
}
