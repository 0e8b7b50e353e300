/** What an operator decides, for all repositories or for one. */
export interface SelectionPolicy {
  /** `exact`: the features of entry and host are equal sets, as in 2019. */
  readonly match: 'best' | 'exact';
  /** With several GPUs: an entry must run on all of them, or on any. */
  readonly gpu: 'all' | 'any';
  /** `auto`: by what the client accepts; `manifest`: the winner's own manifest; `index`: always an index. */
  readonly answer: 'auto' | 'index' | 'manifest';
  /** When no entry for the host's platform is eligible: leave them out, or serve the original. */
  readonly onNoMatch: 'refuse' | 'upstream';
  /** What another kind of host was given, asked for by its digest: deliver it as pinned, or refuse it. */
  readonly foreignDerived: 'deliver' | 'refuse';
  /** Code for another vendor's CPU is eligible when every flag it needs is there; ranked below the levels. */
  readonly allowForeignVendor: boolean;
  /** Feature kinds or groups of kinds, most important first; what is not listed follows in the usual order. */
  readonly priority?: readonly string[] | undefined;
  /** A digest, or a feature that an entry demands: of the eligible, such an entry wins. */
  readonly pin?: string | undefined;
  /** What entries without any CPU demand need all the same: `x86-64-v3`; empty: nothing, whatever the catalogue says. */
  readonly baseline?: readonly string[] | undefined;
  /**
   * Prefixes of annotations that instruct runtimes to what the operator does not want: what carries one is not chosen, not
   * listed, and not delivered as an image.
   */
  readonly denyAnnotations?: readonly string[] | undefined;
  /** Also heed `NVIDIA_REQUIRE_*` in the configuration of each entry's image: two more requests for each, once. */
  readonly readConfig?: boolean | undefined;
  /** Also heed node-feature-discovery's compatibility artifacts of each entry: a request for each, and two for each artifact. */
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
