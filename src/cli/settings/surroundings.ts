import { homedir } from 'node:os';
import { check } from '../../lib/schema.ts';
import { UserError } from '../user-error.ts';
import { Switch } from './values.ts';

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Returns the home directory of this user; undefined when there is none, as for a service without HOME and
 * without an entry in passwd.
 */
export function homeDirectory(): string | undefined {
  try {
    return homedir() || undefined;
  } catch {
    return undefined; // uv_os_homedir fails: neither HOME nor an entry
  }
}

function isOn(value: string | undefined): boolean {
  // An invalid value is refused where the setting itself is read.
  return check(Switch, value).output === true;
}

/**
 * Returns the default listening address. In MetaHub's own container image (METAHUB_CONTAINER) it is every
 * address, because the network of the container decides who can reach it. The demonstration listens on
 * loopback even there, because its passwords are public.
 */
export function defaultListen(environment: Environment): string {
  const { METAHUB_CONTAINER, METAHUB_STATIC_MACHINES, STATIC_MACHINES } = environment;
  const isEverywhere = isOn(METAHUB_CONTAINER) && !isOn(METAHUB_STATIC_MACHINES ?? STATIC_MACHINES);
  return isEverywhere ? '0.0.0.0:5080' : '127.0.0.1:5080';
}

/**
 * Returns the environment with foreign names translated: STATIC_MACHINES, and PORT, the convention of
 * platforms that run containers. METAHUB_ variables override them.
 * @throws {UserError} status 2
 */
export function settingVariables(environment: Environment): Environment {
  const { STATIC_MACHINES, PORT, ...own } = environment;
  if (PORT !== undefined && !/^\d{1,5}$/.test(PORT)) {
    throw new UserError(`PORT is “${PORT}”, which is not a port`, {
      nextStep: 'Set PORT to a number, or METAHUB_LISTEN to HOST:PORT.',
      exitStatus: 2,
    });
  }
  return {
    ...(STATIC_MACHINES === undefined ? {} : { METAHUB_STATIC_MACHINES: STATIC_MACHINES }),
    ...(PORT === undefined ? {} : { METAHUB_LISTEN: defaultListen(environment).replace(/\d+$/, PORT) }),
    ...own,
  };
}
