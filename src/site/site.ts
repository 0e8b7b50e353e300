import type { HostProfile } from '../host/profile.ts';
import { isLoopback } from '../lib/address.ts';
import type { RequestHandler } from '../lib/http.ts';
import type { Log } from '../lib/log.ts';
import type { AdmissionController, Registry } from '../oci/registry.ts';
import type { Account } from './account.ts';
import { createAudit } from './audit.ts';
import { createAuthenticate } from './authenticate.ts';
import { clientAddressBehind, siteUrlFrom } from './client-address.ts';
import { createSiteAdmission } from './gate.ts';
import {
  createLoginThrottle,
  DEFAULT_LOGIN_THROTTLE_LIMITS,
  type LoginThrottleLimits,
} from './login-throttle.ts';
import { createMachineAdmin } from './machine-admin.ts';
import { openMachineFolder } from './machine-folder.ts';
import { MACHINES_PATH } from './machine-list.ts';
import { MachineReader } from './machine-reader.ts';
import { createMachinesEndpoint } from './machines-endpoint.ts';
import { createPasswordCheck, DEFAULT_COST, hashPassword, type ScryptCost } from './password.ts';
import { createPermissions } from './permissions.ts';
import { TOKEN_PATH } from './responses.ts';
import { createTokenIssuer } from './token.ts';
import { createTokenEndpoint } from './token-endpoint.ts';

/** The machine types of the 2019 demonstration. */
const TYPES: readonly (readonly [name: string, features: readonly string[]])[] = [
  ['type0', []],
  ['type1', ['cpu:broadwell']],
  ['type2', ['cpu:skylake']],
  ['type3', ['cpu:coffelake']],
  ['type4', ['cpu:broadwell', 'nvcap:5.2']],
];

/** These passwords are public: an expensive hash would protect nothing. */
const COST: ScryptCost = { ln: 10, r: 8, p: 1 };

/** `qnib-type0` to `qnib-type4`, each with its user name for a password. Only for a demonstration. */
export async function demoMachines(): Promise<Account> {
  const types = TYPES.map(async ([name, features]) => {
    const login = `qnib-${name}`;
    return { name, login, features, password: await hashPassword(login, COST) };
  });
  return {
    user: 'qnib',
    password: undefined,
    types: await Promise.all(types),
    repositories: ['**'],
    push: [],
    groups: [],
    tokens: [],
    upstreamLogins: undefined,
    managesMachines: false,
    file: 'STATIC_MACHINES',
  };
}

/** Where a site listens, and what the operator accepts there. */
export interface SiteExposure {
  readonly host: string;
  readonly tls: boolean;
  /** The operator accepts passwords in clear text: `insecureLogins`. */
  readonly insecureLogins: boolean;
  /** The demonstration's accounts are served, whose passwords are public. */
  readonly demo: boolean;
  /** The operator accepts these accounts on a network: `demoListenAnywhere`. */
  readonly demoListenAnywhere: boolean;
}

/** Why a site may not listen there, and what the operator can do about it. */
export interface ExposureProblem {
  readonly why: string;
  readonly nextStep: string;
}

/** What is wrong with logins at this address; undefined when nothing is. */
export function exposureProblem(exposure: SiteExposure): ExposureProblem | undefined {
  const { host, tls, insecureLogins, demo, demoListenAnywhere } = exposure;
  if (isLoopback(host)) return undefined;
  if (!tls && !insecureLogins) {
    return {
      why: `logins over plain HTTP on ${host}: their passwords could be read on the way`,
      nextStep:
        'Give a certificate and key, or listen on 127.0.0.1 behind a proxy that has them, or say --insecure-logins on.',
    };
  }
  // A certificate does not help: the passwords are public.
  if (demo && !demoListenAnywhere) {
    return {
      why: `the demonstration’s accounts on ${host}: their passwords are public`,
      nextStep:
        'Listen on 127.0.0.1, serve accounts of your own with --machines DIR, or accept it with --demo-listen-anywhere on.',
    };
  }
  return undefined;
}

export interface SiteOptions {
  /** Folder of machine files; need not exist. */
  readonly machines: string | undefined;
  /** Serve the demonstration's machine types as well. */
  readonly staticMachines: boolean;
  /** The mirror as a host of this profile sees it. */
  readonly registryFor: (profile: HostProfile) => Registry;
  /** What tokens are signed with, see token-key.ts. */
  readonly tokenKey: Uint8Array;
  /** Where clients reach this site; undefined: as they write it themselves. */
  readonly url?: string | undefined;
  /** Does this server itself speak TLS? */
  readonly tls: boolean;
  /** Addresses and subnets of proxies whose X-Forwarded-For is trusted. */
  readonly proxies?: readonly string[];
  readonly log: Log;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Milliseconds of the wall clock, for tokens. */
  readonly wallClock: () => number;
  readonly limits?: LoginThrottleLimits;
  readonly decoyCost?: ScryptCost;
}

export interface Site {
  readonly gate: AdmissionController;
  /** Exact paths beside the registry's own. */
  readonly handlers: ReadonlyMap<string, RequestHandler>;
  readonly accounts: number;
}

/**
 * A whole site behind one gate: the profile of a request is its login's machine type.
 * @throws {ConfigError} with file and line.
 */
export async function openSite(options: SiteOptions): Promise<Site> {
  const { log, now } = options;
  const reader = options.machines === undefined ? undefined : new MachineReader(options.machines);
  const folder = await openMachineFolder({
    reader,
    fixed: options.staticMachines ? [await demoMachines()] : [],
    log,
    now,
  });
  const tokens = createTokenIssuer({
    key: options.tokenKey,
    find: (login) => folder.directory().find(login),
    now: options.wallClock,
  });
  const passwords = createPasswordCheck({
    throttle: createLoginThrottle(options.limits ?? DEFAULT_LOGIN_THROTTLE_LIMITS, now),
    decoy: await hashPassword('', options.decoyCost ?? DEFAULT_COST),
    now,
  });
  const authenticate = createAuthenticate({
    directory: folder.directory,
    passwords,
    tokens,
    wallClock: options.wallClock,
  });
  const audit = createAudit(log);
  const rightsOf = createPermissions();
  const clientAddress = clientAddressBehind(options.proxies ?? [], (proxy) => {
    const message = `X-Forwarded-For from ${proxy} is ignored: declare the proxy with --proxies ${proxy}`;
    log('warning', 'forwarded-address-ignored', message, { proxy });
  });
  const siteUrl = siteUrlFrom({ url: options.url, tls: options.tls });
  const gate = createSiteAdmission({
    authenticate,
    registryFor: options.registryFor,
    rightsOf,
    siteUrl,
    clientAddress,
    audit,
  });
  const token = createTokenEndpoint({
    authenticate,
    tokens,
    rightsOf,
    clientAddress,
    audit,
  });
  const machines = createMachinesEndpoint({
    authenticate,
    clientAddress,
    audit,
    admin: reader && createMachineAdmin(reader),
  });
  const upToDate =
    (handler: RequestHandler): RequestHandler =>
    (request, response) =>
      void folder.refresh().then(() => handler(request, response));
  return {
    gate: {
      admit: (arrival) =>
        folder.isFresh() ? gate.admit(arrival) : folder.refresh().then(() => gate.admit(arrival)),
    },
    handlers: new Map([
      [TOKEN_PATH, upToDate(token)],
      [MACHINES_PATH, upToDate(machines)],
    ]),
    accounts: folder.directory().accounts.length,
  };
}
