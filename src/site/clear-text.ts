import { isIP } from 'node:net';

/** Where a site listens, and what stands between it and its clients. */
export interface SiteExposure {
  readonly host: string;
  readonly tls: boolean;
  /** The operator has said that passwords may pass in clear: `insecureLogins`. */
  readonly insecureLogins: boolean;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/**
 * Why logins may not be taken so: passwords would cross a network in clear. Undefined when they may.
 * What the operator is to do about it is the second line.
 */
export function refuseClearText({
  host,
  tls,
  insecureLogins,
}: SiteExposure): readonly [string, string] | undefined {
  if (tls || insecureLogins || isLoopback(host)) return undefined;
  return [
    `logins over plain HTTP on ${host}: their passwords could be read on the way`,
    'Give a certificate and key, or listen on 127.0.0.1 behind a proxy that has them, or say --insecure-logins on.',
  ];
}
