/** A `kind:value` claim. A level (`x86-64-v3`) or a bare flag (`avx2`) has the kind that its spelling implies. */
export interface Feature {
  /** `cpu`, `level`, `cpuflag`, `nvcap` …, or a kind of the operator's own. */
  readonly kind: string;
  readonly value: string;
}

const KIND = /^[A-Za-z][\w./-]*$/;
/** Printable and without white space: a feature is one word on a line, in a label and in a list of them. */
const VALUE = /^[!-~]+$/;
const BARE_FLAG = /^[a-z][a-z0-9_.]*$/;
const X86_LEVEL = /^x86[-_]64[-_]v([1-4])$/;
const ARM_LEVEL = /^arm64[-_]v(\d+(?:\.\d+)?)$/;

/**
 * Parses `cpu:zen4`, `nvcap=9.0` (node-feature-discovery's spelling), a level `x86-64-v3` or `arm64-v8.2`, or a bare CPU
 * flag `avx2`; nothing when the text is none of them. Values are not judged: that a microarchitecture exists is for the
 * family tree to say.
 */
export function parseFeature(text: string): Feature | undefined {
  const written = text.trim();
  const level = canonicalLevel(written);
  if (level !== undefined) return { kind: 'level', value: level };
  const separator = written.search(/[:=]/);
  if (separator === -1) return BARE_FLAG.test(written) ? { kind: 'cpuflag', value: written } : undefined;
  const [kind, value] = [written.slice(0, separator), written.slice(separator + 1).trim()];
  if (!KIND.test(kind) || !VALUE.test(value)) return undefined;
  if (kind !== 'level') return { kind, value };
  const named = canonicalLevel(value);
  return named === undefined ? undefined : { kind, value: named };
}

/** Writes a feature canonically: `cpu:zen4`; a level and a flag as the bare word. */
export function formatFeature({ kind, value }: Feature): string {
  return kind === 'level' || (kind === 'cpuflag' && BARE_FLAG.test(value)) ? value : `${kind}:${value}`;
}

/** `x86_64_v3` is archspec's spelling of glibc's `x86-64-v3`; `arm64-v9` is `arm64-v9.0`. */
function canonicalLevel(text: string): string | undefined {
  const x86 = X86_LEVEL.exec(text)?.[1];
  if (x86 !== undefined) return `x86-64-v${x86}`;
  const arm = ARM_LEVEL.exec(text)?.[1];
  if (arm === undefined) return undefined;
  return `arm64-v${arm.includes('.') ? arm : `${arm}.0`}`;
}
