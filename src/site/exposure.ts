import { isLoopback } from '../lib/ip-address.ts';

/** The address that a site listens on, and what stands between it and its clients. */
export interface SiteExposure {
  readonly host: string;
  readonly tls: boolean;
  /** The operator has said that passwords may pass in clear: `insecureLogins`. */
  readonly insecureLogins: boolean;
}

/**
 * Why logins may not be taken so: passwords would cross a network in clear. Undefined when they may.
 * What the operator is to do about it is the second line.
 */
export function requireTls({
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
