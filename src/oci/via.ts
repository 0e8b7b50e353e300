import { RegistryError } from './registry-error.ts';

/**
 * The `Via` header is the loop guard: every mirror adds its pseudonym to what it asks upstream and refuses a request that
 * has already come through it. Hops are listed oldest first, as `1.1 pseudonym`.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-7.6.3
 */

/** More mirrors than any sane chain has: a request that came through as many is refused whatever their names are. */
const HOPS_MAX = 8;

function hopsOf(via: string | undefined): readonly string[] {
  return via === undefined || via === '' ? [] : via.split(',').map((hop) => hop.trim());
}

/** Has this request come through `pseudonym` already, or through too many at all? */
export function isLoop(via: string | undefined, pseudonym: string): boolean {
  const hops = hopsOf(via);
  return hops.length >= HOPS_MAX || hops.some((hop) => hop.split(/\s+/)[1] === pseudonym);
}

/** A protocol and a name or address. */
const HOP = /^(?:[\w.-]+\/)?[\w.-]+[ \t]+[\w.:[\]-]+$/;
const VIA_MAX_CHARACTERS = 1024;

/** The header without its comments, which may nest and hold commas; undefined when a parenthesis is unbalanced. */
function withoutComments(via: string): string | undefined {
  let depth = 0;
  let kept = '';
  for (let at = 0; at < via.length; at += 1) {
    const character = via[at] ?? '';
    if (depth > 0 && character === '\\') at += 1;
    else if (character === '(') depth += 1;
    else if (character === ')') depth -= 1;
    else if (depth === 0) kept += character;
    if (depth < 0) return undefined;
  }
  return depth === 0 ? kept : undefined;
}

/**
 * The hops that a request's `Via` names, in the form that is sent on; undefined when mirrors and proxies write no such
 * header. Comments are dropped: they are free text, and a gateway that takes offence at one client's comment would refuse
 * what other clients share.
 */
export function readVia(via: string): string | undefined {
  if (via.length > VIA_MAX_CHARACTERS) return undefined;
  const hops = hopsOf(withoutComments(via)).filter((hop) => hop !== '');
  return hops.length > 0 && hops.every((hop) => HOP.test(hop)) ? hops.join(', ') : undefined;
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
