/**
 * A user name that describes the machine: `site/cpu#zen4,nvcap#9.0` is the account `site` on a machine with the features
 * `cpu:zen4` and `nvcap:9.0`. A colon would end a user name of HTTP's Basic scheme, so `#` stands for it.
 * @see https://www.rfc-editor.org/rfc/rfc7617#section-2
 */
export interface Selector {
  readonly user: string;
  readonly features: readonly string[];
}

const FEATURES_MAX = 64;
const SELECTOR_MAX_CHARACTERS = 1024;
const FEATURE = /^[A-Za-z0-9][A-Za-z0-9._+-]*(?:#[A-Za-z0-9][A-Za-z0-9._+-]*)?$/;

/** The selector that `userName` spells; undefined when it is none, or malformed. */
export function parseSelector(userName: string): Selector | undefined {
  if (userName.length > SELECTOR_MAX_CHARACTERS) return undefined;
  const slash = userName.indexOf('/');
  if (slash < 1) return undefined;
  const written = userName.slice(slash + 1).split(',');
  if (written.length > FEATURES_MAX || !written.every((text) => FEATURE.test(text))) return undefined;
  const features = [...new Set(written.map((text) => text.replace('#', ':')))].sort();
  return { user: userName.slice(0, slash), features };
}

/** The account part of a user name: what stands before the selector, or all of it. */
export function accountNameOf(userName: string): string {
  const slash = userName.indexOf('/');
  return slash < 0 ? userName : userName.slice(0, slash);
}

/** The user name by which a machine with `features` logs in as `user`; features that cannot be written so are left out. */
export function formatSelector(user: string, features: readonly string[]): string {
  const written = features.map((feature) => feature.replace(':', '#')).filter((text) => FEATURE.test(text));
  return `${user}/${[...new Set(written)].sort().join(',')}`;
}
