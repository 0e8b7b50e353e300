import { isIP } from 'node:net';

/** `uri-host [ ":" port ]`. @see https://www.rfc-editor.org/rfc/rfc9110#section-7.2 */
const HOST_FIELD = /^(?:\[([0-9a-f:.]+)\]|((?:[\w.~!$&'()*+,;=-]|%[0-9a-f]{2})+))(?::(\d{0,5}))?$/i;

/** The name in a Host header: without port and brackets, lower case; undefined when the value is malformed. */
export function hostNameIn(host: string | undefined): string | undefined {
  const [, ipv6, name, port] = HOST_FIELD.exec(host ?? '') ?? [];
  if (port !== undefined && Number(port) > 65_535) return undefined;
  if (ipv6 !== undefined) return isIP(ipv6) === 6 ? ipv6.toLowerCase() : undefined;
  return name?.toLowerCase();
}

/**
 * Is this Host header one of this server's names? A web page whose own name was made to point here (DNS rebinding) could
 * otherwise read what its browser is shown; addresses, localhost and the configured names cannot be pointed elsewhere.
 */
export function isOwnHost(host: string | undefined, names: readonly string[]): boolean {
  const name = hostNameIn(host);
  if (name === undefined) return false;
  return isIP(name) !== 0 || name === 'localhost' || names.some((own) => own.toLowerCase() === name);
}

/** {@link isOwnHost} that remembers the last Host it accepted: a runtime always sends the same. */
export function createHostCheck(names: readonly string[]): (host: string | undefined) => boolean {
  let last: string | undefined;
  return (host) => {
    if (host !== undefined && host === last) return true;
    const isOwn = isOwnHost(host, names);
    if (isOwn) last = host;
    return isOwn;
  };
}
