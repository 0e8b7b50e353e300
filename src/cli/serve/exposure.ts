import { existsSync } from 'node:fs';
import { isLoopback } from '../../lib/address.ts';
import type { LoginFiles, OwnLogins } from '../../upstream/auth/keychain.ts';

/** Who can reach the mirror, and whether they must log in. */
export interface Exposure {
  /** The address that the mirror listens on. */
  readonly address: string;
  /** True when every request has a login (site mode). */
  readonly hasLogins: boolean;
}

/**
 * Returns which of the logins that are stored on this machine pulls may use. Every local user can reach a
 * port on loopback. By default they get the logins that an operator gave to the mirror, but not those of the
 * user that the mirror runs as, whose files they cannot read. Clients of an anonymous port on a network get
 * none; clients with a login get all.
 */
export function usableLogins(setting: 'auto' | 'on' | 'off', { address, hasLogins }: Exposure): OwnLogins {
  if (setting !== 'auto') return setting === 'on' ? 'all' : 'none';
  if (hasLogins) return 'all';
  return isLoopback(address) ? 'given' : 'none';
}

/** A fact about the exposure that an operator should know, with a stable key for programs. */
export interface ExposureWarning {
  readonly event: 'anonymous-mirror' | 'own-logins-shared' | 'own-logins-unused';
  readonly isHarmless: boolean;
  readonly message: string;
}

/** Returns warnings for the operator. `files` may contain logins. */
export function exposureWarnings(
  setting: 'auto' | 'on' | 'off',
  exposure: Exposure,
  files: LoginFiles,
): readonly ExposureWarning[] {
  const { address, hasLogins } = exposure;
  const usable = usableLogins(setting, exposure);
  const given = files.given.filter((file) => existsSync(file));
  const ofUser = files.ofUser.filter((file) => existsSync(file));
  const used = [...(usable === 'none' ? [] : given), ...(usable === 'all' ? ofUser : [])];
  const unused = [...given, ...ofUser].filter((file) => !used.includes(file));
  const isAnonymous = !hasLogins && !isLoopback(address);
  const warnings: ExposureWarning[] = [];
  if (isAnonymous) {
    warnings.push({
      event: 'anonymous-mirror',
      isHarmless: false,
      message: `anyone who reaches ${address} can pull through this mirror without a login; listen on 127.0.0.1, or serve machine types (--machines), or close the port to others`,
    });
  }
  if (hasLogins) return warnings;
  if (used.length > 0) {
    warnings.push({
      event: 'own-logins-shared',
      isHarmless: !isAnonymous,
      message: `everyone who can reach this mirror pulls with the logins stored in ${used.join(', ')}; --own-logins off prevents that`,
    });
  }
  if (unused.length > 0 && setting === 'auto') {
    warnings.push({
      event: 'own-logins-unused',
      isHarmless: true,
      message: `the logins stored in ${unused.join(', ')} are not used, because ${isAnonymous ? 'the port is open to a network' : 'every user of this machine reaches the port'}; --own-logins on uses them, and a login in /etc/metahub/auth.json is the mirror’s own`,
    });
  }
  return warnings;
}
