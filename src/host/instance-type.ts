/** The parts of a cloud's instance type that images may ask for. */
export interface InstanceType {
  /** `c5`, `n2`, `Standard_D4s_v3`. */
  readonly type: string;
  /** `9xl`, `metal`, `standard-8`; Azure writes no size apart. */
  readonly size?: string;
}

/** Splits `c5.9xlarge` into `c5` and `9xl` (the names that MetaHub has used since 2019), `n2-standard-8` into `n2` and the rest. */
export function parseInstanceType(name: string): InstanceType {
  const amazon = /^([a-z][a-z0-9-]*)\.([a-z0-9-]+)$/.exec(name);
  if (amazon?.[1] !== undefined && amazon[2] !== undefined) {
    return { type: amazon[1], size: amazon[2].replace(/^(\d*x?)large$/, '$1l') };
  }
  const google = /^([a-z]\d[a-z]?)-(\S+)$/.exec(name);
  if (google?.[1] !== undefined && google[2] !== undefined) return { type: google[1], size: google[2] };
  return { type: name };
}
