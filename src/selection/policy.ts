/** What an operator decides, for all repositories or for one. */
export interface SelectionPolicy {
  /** `exact`: the feature sets of entry and host are equal. */
  readonly match: 'best' | 'exact';
  /** With several GPUs: an entry must run on all of them, or on any. */
  readonly gpu: 'all' | 'any';
  /** `auto`: by what the client accepts; `manifest`: the winner's own manifest; `index`: always an index. */
  readonly answer: 'auto' | 'index' | 'manifest';
  /** When no entry for the host's platform is eligible: remove those entries, or serve the original index. */
  readonly onNoMatch: 'refuse' | 'upstream';
  /** A derived index of another kind of host, requested by digest: deliver it as pinned, or refuse it. */
  readonly foreignDerived: 'deliver' | 'refuse';
  /** Code for another vendor's CPU is eligible when the host has every flag it needs; it ranks below the levels. */
  readonly allowForeignVendor: boolean;
  /** Feature kinds or groups of kinds, most important first; unlisted ones follow in the usual order. */
  readonly priority?: readonly string[] | undefined;
  /** A digest, or a demanded feature: an eligible entry that has it wins. */
  readonly pin?: string | undefined;
  /** What entries without a CPU demand need nevertheless: `x86-64-v3`; empty: nothing, whatever the catalogue says. */
  readonly baseline?: readonly string[] | undefined;
  /**
   * Prefixes of annotations that tell runtimes to do what the operator does not want: an entry that has one is neither
   * chosen nor listed, and its image is not delivered.
   */
  readonly denyAnnotations?: readonly string[] | undefined;
  /**
   * Also read `NVIDIA_REQUIRE_*` in the configuration of each entry's image: two more requests for each entry, once.
   */
  readonly readConfig?: boolean | undefined;
  /**
   * Also read node-feature-discovery's compatibility artifacts: one request for each entry, and two for each artifact.
   */
  readonly readCompatibility?: boolean | undefined;
}

export const DEFAULT_POLICY: SelectionPolicy = Object.freeze({
  match: 'best',
  gpu: 'all',
  answer: 'auto',
  onNoMatch: 'refuse',
  foreignDerived: 'deliver',
  allowForeignVendor: false,
});

/** The first annotation that the operator denies; undefined when there is none. */
export function deniedAnnotation(
  annotations: Readonly<Record<string, unknown>>,
  { denyAnnotations }: SelectionPolicy,
): string | undefined {
  return Object.keys(annotations).find((name) => denyAnnotations?.some((prefix) => name.startsWith(prefix)));
}
