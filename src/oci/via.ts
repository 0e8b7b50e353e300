import { RegistryError } from './registry-error.ts';

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

/** A protocol, a name or address, and maybe a comment; the whole no longer than the hops that are let through. */
const HOP = /^(?:[\w.-]+\/)?[\w.-]+[ \t]+[\w.:[\]-]+(?:[ \t]+\([ -'*-~]*\))?$/;
const VIA_MAX_CHARACTERS = 1024;

/**
 * Is this what mirrors and proxies write? It is sent on with requests whose answers others share, so nobody may put
 * anything into it at which an upstream takes offence.
 */
export function isSoundVia(via: string | undefined): boolean {
  return via === undefined || (via.length <= VIA_MAX_CHARACTERS && hopsOf(via).every((hop) => HOP.test(hop)));
}

/** Is it the request's own way here that was refused, by us or further upstream? It says nothing of what was asked for. */
export function isLoopError(error: unknown): boolean {
  return error instanceof RegistryError && error.status === LOOP_STATUS;
}

/** 508 Loop Detected. @see https://www.rfc-editor.org/rfc/rfc5842#section-7.2 */
export const LOOP_STATUS = 508;

/** The `Via` value of a request that `pseudonym` sends on behalf of one that came with `via`. */
export function addHop(via: string | undefined, pseudonym: string): string {
  return [...hopsOf(via), `1.1 ${pseudonym}`].join(', ');
}
