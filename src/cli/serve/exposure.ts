import { existsSync } from 'node:fs';
import { isLoopback } from '../../lib/ip-address.ts';

/** Who can reach the mirror, and what they can pull. */
export interface Exposure {
  /** The address that the mirror listens on. */
  readonly address: string;
  /** Does every request show a login (site mode)? */
  readonly hasLogins: boolean;
}

/**
 * May pulls use the logins that are stored on this machine? By default wherever only this machine, or those who show a login,
 * can ask: an anonymous port on a network would hand private images to everybody.
 */
export function mayUseOwnLogins(setting: 'auto' | 'on' | 'off', { address, hasLogins }: Exposure): boolean {
  return setting === 'auto' ? hasLogins || isLoopback(address) : setting === 'on';
}

/** A thing about the exposure that an operator should know, with a stable key for programs. */
export interface ExposureWarning {
  readonly event: 'anonymous-mirror' | 'own-logins-shared' | 'own-logins-unused';
  readonly isHarmless: boolean;
  readonly message: string;
}

/** What an operator should know: `files` are those in which logins may be stored. */
export function exposureWarnings(
  setting: 'auto' | 'on' | 'off',
  exposure: Exposure,
  files: readonly string[],
): readonly ExposureWarning[] {
  const { address, hasLogins } = exposure;
  const stored = files.filter((file) => existsSync(file));
  const isAnonymous = !hasLogins && !isLoopback(address);
  const warnings: ExposureWarning[] = [];
  if (isAnonymous) {
    warnings.push({
      event: 'anonymous-mirror',
      isHarmless: false,
      message: `anyone who reaches ${address} can pull through this mirror without a login; listen on 127.0.0.1, or serve machine types (--machines), or close the port to others`,
    });
  }
  if (stored.length === 0 || hasLogins) return warnings;
  const isUsed = mayUseOwnLogins(setting, exposure);
  if (isUsed) {
    warnings.push({
      event: 'own-logins-shared',
      isHarmless: !isAnonymous,
      message: `everyone who can ask this mirror pulls with the logins stored in ${stored.join(', ')}; --own-logins off ends that`,
    });
  } else if (setting === 'auto') {
    warnings.push({
      event: 'own-logins-unused',
      isHarmless: true,
      message: `the logins stored in ${stored.join(', ')} are not used, because the port is open to a network; --own-logins on uses them`,
    });
  }
  return warnings;
}
