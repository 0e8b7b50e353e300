/**
 * The `Via` header is the loop guard: every mirror adds its pseudonym to what it asks upstream and refuses a request that
 * has already come through it. Hops are listed oldest first, as `1.1 pseudonym`.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-7.6.3
 */

/** More mirrors than any sane chain has: a request that came through as many is refused whoever they are. */
const HOPS_MAX = 8;

function hopsOf(via: string | undefined): readonly string[] {
  return via === undefined || via === '' ? [] : via.split(',').map((hop) => hop.trim());
}

/** Has this request come through `pseudonym` already, or through too many at all? */
export function isLoop(via: string | undefined, pseudonym: string): boolean {
  const hops = hopsOf(via);
  return hops.length >= HOPS_MAX || hops.some((hop) => hop.split(/\s+/)[1] === pseudonym);
}

/** The `Via` value of a request that `pseudonym` sends on behalf of one that came with `via`. */
export function addHop(via: string | undefined, pseudonym: string): string {
  return [...hopsOf(via), `1.1 ${pseudonym}`].join(', ');
}
