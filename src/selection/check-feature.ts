import { VERSION_KINDS } from '../host/features.ts';
import { allNodes, canonicalName, flagSet } from '../host/microarchitectures.ts';
import { similarNames } from '../host/why-not.ts';
import { closestWord, truncateText } from '../lib/text.ts';
import { parseVersionRange } from '../lib/version.ts';
import { readFeature, UNREADABLE } from './demands.ts';
import { isCapability } from './matchers/nvidia.ts';

const FORMS = 'write cpu:zen4, nvcap:9.0, x86-64-v3 or avx2';
const LEVELS = ['x86-64-v1', 'x86-64-v2', 'x86-64-v3', 'x86-64-v4'];
const GFX = /^(?:amdgcn-amd-amdhsa--)?gfx[0-9a-f]+(?:-[0-9a-f]+)*(?:-generic)?(?::(?:xnack|sramecc)[+-])*$/;

function meant(word: string | undefined): string {
  return word === undefined ? '' : `; did you mean ${word}?`;
}

function problemWithCpu(value: string): string | undefined {
  if (canonicalName(value) !== undefined) return undefined;
  return `there is no microarchitecture “${value}”${meant(similarNames(value)[0])}`;
}

/** A bare word must be a flag of some known CPU: a misspelt flag would never hold, and nobody would notice. */
function problemWithFlag(value: string, text: string): string | undefined {
  if (text.startsWith('cpuflag')) return undefined;
  const flags = new Set([...allNodes()].flatMap(({ name }) => [...(flagSet(name) ?? [])]));
  if (flags.has(value)) return undefined;
  const name = canonicalName(value);
  const similar = name === undefined ? closestWord(value, flags) : `cpu:${value}`;
  const otherwise = similar ?? `cpuflag:${value}, for a flag that MetaHub does not know`;
  return `“${value}” is not a known CPU flag${meant(otherwise)}`;
}

/**
 * What is wrong with a feature that an author or operator wrote, as the end of a sentence. Undefined when it can
 * hold on some host. Kinds that a site defines itself may have any value.
 */
export function problemWithFeature(text: string): string | undefined {
  const { kind, value } = readFeature(text);
  const shown = truncateText(text.trim());
  if (kind === UNREADABLE) return `“${shown}” is not a feature${meant(closestWord(text, LEVELS))}: ${FORMS}`;
  if (VERSION_KINDS.has(kind)) {
    const isVersion = parseVersionRange(value) !== undefined;
    return isVersion ? undefined : `“${shown}” names no version: write ${kind}:12.4 or ${kind}:>=12.4,<13`;
  }
  switch (kind) {
    case 'cpu':
      return problemWithCpu(value);
    case 'cpuflag':
      return problemWithFlag(value, text.trim());
    case 'nvcap':
    case 'nvptx':
      return isCapability(value) ? undefined : `“${shown}” names no compute capability: write ${kind}:9.0`;
    case 'gfx':
      return GFX.test(value) ? undefined : `“${shown}” names no AMD target: write gfx:gfx90a`;
    default:
      return undefined;
  }
}
