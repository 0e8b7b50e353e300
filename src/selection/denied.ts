import type { SelectionPolicy } from './policy.ts';

/** The first annotation that the operator denies; undefined when there is none. */
export function deniedAnnotation(
  annotations: Readonly<Record<string, unknown>>,
  { denyAnnotations = [] }: SelectionPolicy,
): string | undefined {
  if (denyAnnotations.length === 0) return undefined;
  return Object.keys(annotations).find((name) => denyAnnotations.some((prefix) => name.startsWith(prefix)));
}
