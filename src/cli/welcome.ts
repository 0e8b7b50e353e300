import type { HostProfile } from '../host/profile.ts';

/** What a person sees when the mirror has started: what this host is, where it listens, and how to point dockerd at it. */
export function welcome(profile: HostProfile, url: string, hosts: readonly string[]): string {
  const { platform, features } = profile;
  const variant = platform.variant === undefined ? '' : `/${platform.variant}`;
  const daemon = JSON.stringify({ 'registry-mirrors': [url] });
  return [
    `This host is ${platform.os}/${platform.architecture}${variant}: ${features.slice(0, 8).join(' ')}`,
    `MetaHub mirrors ${hosts.join(', ')} on ${url}`,
    '',
    `Point dockerd at it:  put ${daemon} into /etc/docker/daemon.json`,
    '                      and run: systemctl reload docker',
    '',
  ].join('\n');
}
