import { isIP } from 'node:net';

/** The name in a Host header: without port and brackets, lower case; undefined when there is none. */
function nameOf(host: string | undefined): string | undefined {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^\s:[\]/@]+))(?::\d{1,5})?$/.exec(host?.toLowerCase() ?? '');
  return match?.[1] ?? match?.[2];
}

/**
 * Is this Host header one of ours? A web page whose own name was made to point here (DNS rebinding) could otherwise read
 * what is shown to its browser; addresses, localhost and the names that this server is known by cannot be pointed elsewhere.
 */
export function isOwnHost(host: string | undefined, names: readonly string[]): boolean {
  const name = nameOf(host);
  if (name === undefined) return false;
  return isIP(name) !== 0 || name === 'localhost' || names.some((own) => own.toLowerCase() === name);
}

/** {@link isOwnHost} that remembers the last Host it let pass: a runtime always sends the same. */
export function createHostCheck(names: readonly string[]): (host: string | undefined) => boolean {
  let last: string | undefined;
  return (host) => {
    if (host !== undefined && host === last) return true;
    const isOwn = isOwnHost(host, names);
    if (isOwn) last = host;
    return isOwn;
  };
}
