import { homedir } from 'node:os';
import { check } from '../../lib/schema.ts';
import { UserError } from '../user-error.ts';
import { Switch } from './values.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * This user's home; undefined for a user without one, such as a service's without HOME and without an entry in passwd.
 */
export function homeDirectory(): string | undefined {
  try {
    return homedir() || undefined;
  } catch {
    return undefined; // uv_os_homedir fails: neither HOME nor an entry
  }
}

function isOn(value: string | undefined): boolean {
  // The setting itself refuses a bad value.
  return check(Switch, value).output === true;
}

/**
 * The default listening address. In MetaHub's own container image (METAHUB_CONTAINER) it is every address, since the
 * container's network decides who reaches it; the demonstration is an exception, because its passwords are public.
 */
export function defaultListen(environment: Environment): string {
  const { METAHUB_CONTAINER, METAHUB_STATIC_MACHINES, STATIC_MACHINES } = environment;
  const isEverywhere = isOn(METAHUB_CONTAINER) && !isOn(METAHUB_STATIC_MACHINES ?? STATIC_MACHINES);
  return isEverywhere ? '0.0.0.0:5080' : '127.0.0.1:5080';
}

/**
 * The environment with foreign names translated: STATIC_MACHINES, and PORT, the convention of platforms that run
 * containers. METAHUB_ variables are stronger.
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
