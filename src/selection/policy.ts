/** What an operator decides, for all repositories or for one. */
export interface SelectionPolicy {
  /** `best`: the closest entry that runs. `exact`: the features of entry and host must be equal. */
  readonly match: 'best' | 'exact';
  /** On a host with several GPUs: an entry must run on all of them, or on any one. */
  readonly gpu: 'all' | 'any';
  /** `auto`: an index if the client accepts it. `manifest`: the winner's manifest. `index`: always an index. */
  readonly answer: 'auto' | 'index' | 'manifest';
  /** When no entry runs on the host: `refuse` removes its platform's entries; `upstream` serves the original index. */
  readonly onNoMatch: 'refuse' | 'upstream';
  /** For a derived index of another kind of host that is requested by digest: deliver it, or refuse it. */
  readonly foreignDerived: 'deliver' | 'refuse';
  /** Code for another vendor's CPU is eligible when the host has all flags that it needs. It ranks below the levels. */
  readonly allowForeignVendor: boolean;
  /** Kinds of features or groups of kinds, the most important first. Others follow in the usual order. */
  readonly priority?: readonly string[] | undefined;
  /** A digest or a demanded feature. An eligible entry that has it wins. */
  readonly pin?: string | undefined;
  /** The demands of entries without a CPU demand: `x86-64-v3`. Empty: none, whatever the catalogue says. */
  readonly baseline?: readonly string[] | undefined;
  /**
   * Prefixes of annotations that instruct runtimes in a way that the operator denies. An entry with such an
   * annotation is neither chosen nor listed, and its image is not delivered.
   */
  readonly denyAnnotations?: readonly string[] | undefined;
  /** Also read `NVIDIA_REQUIRE_*` from the configuration of each entry. Costs two requests for each entry, once. */
  readonly readConfig?: boolean | undefined;
  /**
   * Also read compatibility artifacts of node-feature-discovery. Costs a request for each entry, and two for each
   * artifact.
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
