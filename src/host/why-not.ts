import { editDistance } from '../lib/text.ts';
import { familyOfArchitecture } from './architecture.ts';
import type { CpuFacts } from './facts.ts';
import { createJudge, type IdentifyOptions, identify, nodeOfModel, withCoreVendor } from './identify.ts';
import { ALIAS_NAMES, allNodes, canonicalName, findNode, rootOf } from './microarchitectures.ts';

/** One reason why a CPU cannot run the code of a microarchitecture. */
export type WhyNotReason =
  | { readonly kind: 'unknown'; readonly suggestions: readonly string[] }
  | { readonly kind: 'family'; readonly needs: string; readonly has: string }
  | { readonly kind: 'vendor'; readonly needs: string; readonly has: string }
  | { readonly kind: 'flags'; readonly missing: readonly string[] }
  | { readonly kind: 'generation'; readonly needs: number; readonly has?: number | undefined }
  /** The flags would suffice, but the node is another model or version. */
  | { readonly kind: 'model'; readonly needs: string; readonly has?: string | undefined };

/** Why a CPU is not a microarchitecture and does not run its code. */
export interface WhyNot {
  /** The canonical name; the name as written when it is unknown. */
  readonly name: string;
  /** True when the CPU runs its code. Then there are no reasons. */
  readonly runs: boolean;
  readonly reasons: readonly WhyNotReason[];
}

/** Finds out why a CPU does not run a microarchitecture: flags, vendor, generation, family, or an unknown name. */
export function whyNot(
  facts: CpuFacts,
  architecture: string,
  written: string,
  options: IdentifyOptions = {},
): WhyNot {
  const cpu = options.strictArchspec === true ? facts : withCoreVendor(facts);
  const node = findNode(canonicalName(written) ?? written);
  if (node === undefined || (options.strictArchspec && !node.isReference)) {
    return { name: written, runs: false, reasons: [{ kind: 'unknown', suggestions: similarNames(written) }] };
  }
  const { name } = node;
  if (identify(cpu, architecture, options).compatible.includes(name)) {
    return { name, runs: true, reasons: [] };
  }
  const family = familyOfArchitecture(architecture);
  const root = rootOf(name);
  if (root !== family) return { name, runs: false, reasons: [{ kind: 'family', needs: root, has: family }] };

  const judge = createJudge(cpu, architecture, options.strictArchspec);
  const reasons: WhyNotReason[] = [];
  if (node.vendor !== 'generic' && node.vendor !== cpu.vendor) {
    reasons.push({ kind: 'vendor', needs: node.vendor, has: cpu.vendor });
  }
  const missing = [...judge.missingFlags(node), ...judge.missingIdleFlags(node)];
  if (missing.length > 0) reasons.push({ kind: 'flags', missing });
  if (!judge.agrees(node)) {
    const { generation } = node.evidence;
    reasons.push(
      generation === undefined
        ? { kind: 'model', needs: name, has: cpu.uarch ?? nodeOfModel(cpu) ?? cpu.modelName }
        : { kind: 'generation', needs: generation, has: cpu.generation },
    );
  }
  return { name, runs: false, reasons };
}

/** Formats a reason for people, as a clause without a full stop: `lacks avx512f, avx512bw`. */
export function formatReason(reason: WhyNotReason): string {
  switch (reason.kind) {
    case 'unknown':
      return reason.suggestions.length === 0
        ? 'there is no microarchitecture of that name'
        : `there is no microarchitecture of that name; similar: ${reason.suggestions.join(', ')}`;
    case 'family':
      return `it is of the ${reason.needs} family, this CPU of ${reason.has}`;
    case 'vendor':
      return `it is ${reason.needs}'s, this CPU is ${reason.has === 'generic' ? 'of an unknown vendor' : `${reason.has}'s`}`;
    case 'flags':
      return `this CPU lacks ${reason.missing.join(', ')}`;
    case 'generation':
      return `it needs generation ${reason.needs}, this CPU is ${reason.has === undefined ? 'unknown' : `of generation ${reason.has}`}`;
    case 'model':
      return `only model numbers distinguish it, and this CPU's ${reason.has === undefined ? 'are not known' : `say ${reason.has}`}`;
  }
}

/** More than twice as long as any name. A login or a request may name sixty thousand characters. */
const MEANT_MAX_CHARACTERS = 64;

/** Up to five known names that a person may have meant, the closest first. */
export function similarNames(written: string): readonly string[] {
  const meant = written.trim().toLowerCase().replaceAll('-', '_');
  if (meant.length > MEANT_MAX_CHARACTERS) return [];
  const limit = Math.max(2, Math.floor(meant.length / 3));
  return [...[...allNodes()].map(({ name }) => name), ...ALIAS_NAMES]
    .map((name) => ({ name, distance: name.includes(meant) && meant !== '' ? 1 : editDistance(meant, name) }))
    .filter(({ distance }) => distance <= limit)
    .sort((a, b) => a.distance - b.distance || (a.name < b.name ? -1 : 1))
    .slice(0, 5)
    .map(({ name }) => name);
}
