/** A `kind:value` claim. A level (`x86-64-v3`) or a bare flag (`avx2`) has the kind that its spelling implies. */
export interface Feature {
  readonly kind: string;
  readonly value: string;
}
