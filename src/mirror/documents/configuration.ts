import { type JsonObject, objectOf, parseJson } from '../../lib/bounded-json.ts';
import { deniedAnnotation, type SelectionPolicy } from '../../selection/policy.ts';
import type { DocumentSource } from './source.ts';

/** Parsed JSON of a configuration; undefined when it is no object. */
function parseConfig(bytes: Uint8Array): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = parseJson(bytes);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    // An artifact's configuration need not be JSON.
    return undefined;
  }
}

/** `config` of an image's configuration. */
function settingsIn({ bytes }: DocumentSource): JsonObject {
  return objectOf(parseConfig(bytes)?.['config']);
}

/** `config.Env` of an image's configuration; empty when it has no readable one. */
export function readEnvironment(source: DocumentSource): readonly string[] {
  const { Env: environment } = settingsIn(source);
  return Array.isArray(environment) ? environment.filter((line) => typeof line === 'string') : [];
}

/** The platform that a configuration states; undefined when it states none. */
export function readStatedPlatform({ bytes }: DocumentSource) {
  const { os, architecture, variant } = parseConfig(bytes) ?? {};
  if (typeof os !== 'string' || typeof architecture !== 'string') return undefined;
  return { os, architecture, ...(typeof variant === 'string' && variant !== '' ? { variant } : {}) };
}

/** The first label that the operator denies; `isReadable` is false when nobody can tell which labels there are. */
export function readDeniedLabel(
  source: DocumentSource,
  policy: SelectionPolicy,
): { readonly isReadable: boolean; readonly label?: string | undefined } {
  if (parseConfig(source.bytes) === undefined) return { isReadable: false };
  const { Labels: labels } = settingsIn(source);
  return { isReadable: true, label: deniedAnnotation(objectOf(labels), policy) };
}
