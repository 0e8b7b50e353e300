import { hostname } from 'node:os';
import type { HostProfile } from '../../host/profile.ts';
import { formatPlatform } from '../../oci/manifest.ts';

/** What a person sees when the mirror has started: what this host is, where it listens, and how to point dockerd at it. */
export function greeting(profile: HostProfile, url: string, hosts: readonly string[]): string {
  const { platform, features } = profile;
  const daemon = JSON.stringify({ 'registry-mirrors': [url] });
  return [
    `This host is ${formatPlatform(platform)}: ${features.slice(0, 8).join(' ')}`,
    `MetaHub mirrors ${hosts.join(', ')} on ${url}`,
    '',
    `Point dockerd at it:  put ${daemon} into /etc/docker/daemon.json`,
    '                      and run: systemctl reload docker',
    '',
  ].join('\n');
}

const ANY_ADDRESS: ReadonlySet<string> = new Set(['0.0.0.0', '[::]']);

/** What the operator of a site sees when it has started: how its machines log in. */
export function siteGreeting(url: string, logins: number, thisMachine = hostname()): string {
  const { hostname: address, port, protocol } = new URL(url);
  const name = ANY_ADDRESS.has(address) ? thisMachine : address;
  const host = port === '' ? name : `${name}:${port}`;
  const count = logins === 1 ? 'one account' : `${logins} accounts`;
  return [
    `MetaHub serves machine types of ${count} on ${url}`,
    '',
    `Log a runtime in:  docker login ${host}`,
    `or a whole node:   metahub login ${protocol}//${host} --user ACCOUNT`,
    '',
  ].join('\n');
}
