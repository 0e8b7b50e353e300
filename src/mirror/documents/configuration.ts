import { type JsonObject, objectOf, parseJson } from '../../lib/json.ts';
import { deniedAnnotation, type SelectionPolicy } from '../../selection/policy.ts';
import type { DocumentSource } from './source.ts';

/** Parses a configuration. Undefined when it is not a JSON object. */
function parseConfig(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = parseJson(bytes);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    // The configuration of an artifact need not be JSON.
    return undefined;
  }
}

/** The object `config` of an image's configuration. */
function settingsIn({ bytes }: DocumentSource): JsonObject {
  return objectOf(parseConfig(bytes)?.['config']);
}

/** The array `config.Env` of an image's configuration; empty when there is none. */
export function readEnvironment(source: DocumentSource): readonly string[] {
  const { Env: environment } = settingsIn(source);
  return Array.isArray(environment) ? environment.filter((line) => typeof line === 'string') : [];
}

/** The platform that an image's configuration states; undefined when it states none. */
export function readStatedPlatform({ bytes }: DocumentSource) {
  const { os, architecture, variant } = parseConfig(bytes) ?? {};
  if (typeof os !== 'string' || typeof architecture !== 'string') return undefined;
  return { os, architecture, ...(typeof variant === 'string' && variant !== '' ? { variant } : {}) };
}

/** Finds the first label that the operator denies. `isReadable`: false when the configuration cannot be read. */
export function readDeniedLabel(
  source: DocumentSource,
  policy: SelectionPolicy,
): { readonly isReadable: boolean; readonly label?: string | undefined } {
  if (parseConfig(source.bytes) === undefined) return { isReadable: false };
  const { Labels: labels } = settingsIn(source);
  return { isReadable: true, label: deniedAnnotation(objectOf(labels), policy) };
}
