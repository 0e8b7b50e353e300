import type { Access } from './registry.ts';

/** Does the access present a login of its own, which its registry can revoke at any time? */
export function hasOwnLogin(access: Access | undefined): boolean {
  return access?.credential !== undefined || access?.logins !== undefined;
}
