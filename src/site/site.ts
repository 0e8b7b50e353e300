import type { HostProfile } from '../host/profile.ts';
import { isLoopback } from '../lib/address.ts';
import type { RequestHandler } from '../lib/http.ts';
import type { Log } from '../lib/log.ts';
import type { SharedState } from '../lib/shared-state.ts';
import type { AdmissionController, Registry } from '../oci/registry.ts';
import type { Gap } from '../selection/gap-schema.ts';
import type { Account } from './account.ts';
import type { AccountIndex } from './account-index.ts';
import { ManagedAccounts } from './api/managed-accounts.ts';
import { createAudit } from './audit.ts';
import { type Authenticate, createAuthenticate } from './authenticate.ts';
import { type ClientAddress, clientAddressBehind, siteUrlFrom } from './client-address.ts';
import { createEnrolEndpoint, ENROL_PATH } from './enrolment/enrol-endpoint.ts';
import { createSiteAdmission } from './gate.ts';
import {
  createLoginThrottle,
  DEFAULT_LOGIN_THROTTLE_LIMITS,
  type LoginThrottleLimits,
} from './login-throttle.ts';
import { createMachineAdmin } from './machine-admin.ts';
import { type MachineFolder, openMachineFolder, type TokenChanges } from './machine-folder.ts';
import { MACHINES_PATH } from './machine-list.ts';
import { MachineReader } from './machine-reader.ts';
import { createMachinesEndpoint } from './machines-endpoint.ts';
import { createManagement } from './management.ts';
import { createPasswordCheck, DEFAULT_COST, hashPassword, type ScryptCost } from './password.ts';
import { createPermissions } from './permissions.ts';
import { PullRecord } from './pull-record.ts';
import { ReloadableParts, type ReloadableSettings } from './reloadable.ts';
import { TOKEN_PATH } from './responses.ts';
import { sharePulls } from './shared-pulls.ts';
import { followMachineChanges, publishMachineChange, shareLoginThrottle } from './shared-site.ts';
import { createTokenIssuer, type TokenIssuer } from './token.ts';
import { createTokenEndpoint } from './token-endpoint.ts';

/** The machine types of the demonstration. */
const TYPES: readonly (readonly [name: string, features: readonly string[]])[] = [
  ['type0', []],
  ['type1', ['cpu:broadwell']],
  ['type2', ['cpu:skylake']],
  ['type3', ['cpu:coffelake']],
  ['type4', ['cpu:broadwell', 'nvcap:5.2']],
];

/** The cheapest cost: these passwords are public, so an expensive hash would protect nothing. */
const COST: ScryptCost = { ln: 10, r: 8, p: 1 };

/** The account of the demonstration, `qnib-type0` to `qnib-type4`. Each type has its user name as its password. */
async function demoMachines(): Promise<Account> {
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
    enrolments: [],
    upstreamLogins: undefined,
    managesMachines: false,
    role: undefined,
    file: 'STATIC_MACHINES',
  };
}

/** Where a site listens, and which risks the operator accepts. */
export interface SiteExposure {
  readonly host: string;
  readonly tls: boolean;
  /** The operator accepts that passwords are sent in clear text: `insecureLogins`. */
  readonly insecureLogins: boolean;
  /** The site serves the demonstration's accounts, whose passwords are public. */
  readonly demo: boolean;
  /** The operator accepts that the demonstration listens on a network: `demoListenAnywhere`. */
  readonly demoListenAnywhere: boolean;
}

/** Why a site must not listen at this address, and what the operator can do about it. */
export interface ExposureProblem {
  readonly why: string;
  readonly nextStep: string;
}

/**
 * Returns why logins at this address are unsafe; undefined when they are safe, or when the operator accepts
 * the risk.
 */
export function exposureProblem(exposure: SiteExposure): ExposureProblem | undefined {
  const { host, tls, insecureLogins, demo, demoListenAnywhere } = exposure;
  if (isLoopback(host)) return undefined;
  if (!tls && !insecureLogins) {
    return {
      why: `logins on ${host} would send passwords over the network in clear text`,
      nextStep:
        'Set --tls-cert and --tls-key, listen on 127.0.0.1 behind a proxy that terminates TLS, or accept the risk with --insecure-logins on.',
    };
  }
  // A certificate does not help, because the passwords are public.
  if (demo && !demoListenAnywhere) {
    return {
      why: `the demonstration’s accounts have public passwords, and ${host} is open to the network`,
      nextStep:
        'Listen on 127.0.0.1, serve accounts of your own with --machines DIR, or accept the risk with --demo-listen-anywhere on.',
    };
  }
  return undefined;
}

export interface SiteOptions extends ReloadableSettings {
  /** Folder of machine files; need not exist. */
  readonly machines: string | undefined;
  /** True: the site serves the demonstration's machine types as well. */
  readonly staticMachines: boolean;
  /** Returns the mirror as a host of this profile sees it. */
  readonly registryFor: (profile: HostProfile) => Registry;
  /** Signs bearer tokens, see token-key.ts. */
  readonly tokenKey: Uint8Array;
  /** URL at which clients reach this site; undefined: derived from each request. */
  readonly url?: string | undefined;
  /** True when this server itself speaks TLS. */
  readonly tls: boolean;
  /** Addresses and subnets of proxies whose X-Forwarded-For is trusted. */
  readonly proxies?: readonly string[];
  /** Returns the pulls that another build would have served better. */
  readonly gaps?: () => readonly Gap[];
  readonly log: Log;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** Milliseconds of the wall clock. */
  readonly wallClock: () => number;
  /** The shared state of the site's replicas; undefined: there is one replica. */
  readonly shared?: SharedState | undefined;
  readonly limits?: LoginThrottleLimits;
  /** Cost of new hashes, and of the hash that passwords of unknown logins are compared with. */
  readonly passwordCost?: ScryptCost;
}

export interface Site {
  readonly gate: AdmissionController;
  /** Handlers by path outside the registry API; a path that ends in `/` matches everything below it. */
  readonly handlers: ReadonlyMap<string, RequestHandler>;
  readonly accounts: number;
  /** Call it with each decision for a tag. */
  readonly noteDecision: PullRecord['noteDecision'];
  /**
   * Opens the parts for changed settings; returns the function that applies them.
   * @throws when they are unusable: nothing has changed then
   */
  prepare(settings: ReloadableSettings): Promise<() => void>;
  /** Publishes the last changes to the other replicas. */
  close(): Promise<void>;
}

/**
 * Opens a site. The machine type of a request's login determines the profile that MetaHub chooses for.
 * @throws {ConfigError} with file and line.
 */
export async function openSite(options: SiteOptions): Promise<Site> {
  const { log, shared, tokenKey, wallClock, registryFor } = options;
  const reader = options.machines === undefined ? undefined : new MachineReader(options.machines);
  const fixed = options.staticMachines ? [await demoMachines()] : [];
  const folder = await openFolder(reader, fixed, options);
  const find = (user: string) => folder.directory().find(user);
  const tokens = createTokenIssuer({ key: tokenKey, find, now: wallClock });
  const hash = async (password: string) =>
    (await hashPassword(password, options.passwordCost ?? DEFAULT_COST)).text;
  const authenticate = await openAuthenticate(options, folder.directory, tokens);
  const audit = createAudit(log);
  const rightsOf = createPermissions();
  const record = new PullRecord(wallClock);
  const pulls = shared && sharePulls(record, shared, wallClock);
  const clientAddress = clientAddressOf(options);
  const siteUrl = siteUrlFrom({ url: options.url, tls: options.tls });
  const gate = createSiteAdmission({
    ...{ authenticate, registryFor, rightsOf, siteUrl, clientAddress, audit, record },
  });
  const token = createTokenEndpoint({ authenticate, tokens, rightsOf, clientAddress, audit, log });
  const admin = reader && createMachineAdmin(reader, { onChanged: () => void folder.reread() });
  const machines = createMachinesEndpoint({ authenticate, clientAddress, audit, log, admin });
  const onChanged = () => folder.reread();
  const parts = new ReloadableParts({
    ...{ tokenKey, shared, reader, admin, onChanged, clientAddress, audit, log, find, wallClock },
    url: options.url,
  });
  (await parts.prepare(options))();
  const enrol = createEnrolEndpoint({
    ...{ admin, onChanged, clientAddress, audit, log, wallClock },
    enrolmentOf: (sha256) => folder.directory().enrolmentOf(sha256),
    accountOf: (user) => folder.directory().accounts.find((account) => account.user === user),
    cloud: parts.cloud,
  });
  const accounts = new ManagedAccounts({ admin, fixed, onChanged });
  const management = createManagement({
    ...{ accounts, rightsOf, hash, authenticate, clientAddress, siteUrl, audit, log },
    record: pulls ?? record,
    gaps: options.gaps ?? (() => []),
    ...{ tokenKey, shared, find, wallClock },
    provider: parts.login,
  });
  const upToDate =
    (handler: RequestHandler): RequestHandler =>
    (request, response) =>
      void folder.refresh().then(() => handler(request, response));
  const handlers = new Map([
    [TOKEN_PATH, upToDate(token)],
    [MACHINES_PATH, upToDate(machines)],
    [ENROL_PATH, upToDate(enrol)],
    ...[...management].map(([path, handler]) => [path, upToDate(handler)] as const),
  ]);
  const putLogins = () => parts.putLogins(handlers, upToDate);
  putLogins();
  return {
    gate: {
      admit: (arrival) =>
        folder.isFresh() ? gate.admit(arrival) : folder.refresh().then(() => gate.admit(arrival)),
    },
    handlers,
    accounts: folder.directory().accounts.length,
    noteDecision: record.noteDecision.bind(record),
    prepare: (settings) => parts.prepare(settings, putLogins),
    close: async () => pulls?.close(),
  };
}

/** Returns the reader of client addresses behind the trusted proxies. Logs the first proxy that is not trusted. */
function clientAddressOf({ proxies = [], log }: SiteOptions): ClientAddress {
  return clientAddressBehind(proxies, (proxy) => {
    const message = `ignoring X-Forwarded-For from ${proxy}: declare the proxy with --proxies ${proxy}`;
    log('warning', 'forwarded-address-ignored', message, { proxy });
  });
}

/** Opens the machine types of the site. Replicas tell each other about changes. */
async function openFolder(
  reader: MachineReader | undefined,
  fixed: readonly Account[],
  { log, now, shared }: SiteOptions,
): Promise<MachineFolder> {
  const onChanged = shared && ((changes: TokenChanges) => publishMachineChange(shared, changes));
  const folder = await openMachineFolder({ reader, fixed, log, now, onChanged });
  if (shared) followMachineChanges(folder, shared);
  return folder;
}

/** Creates the check of passwords and tokens. Replicas count failed logins together. */
async function openAuthenticate(
  options: SiteOptions,
  directory: () => AccountIndex,
  tokens: TokenIssuer,
): Promise<Authenticate> {
  const { shared, now, wallClock } = options;
  const throttle = createLoginThrottle(options.limits ?? DEFAULT_LOGIN_THROTTLE_LIMITS, now);
  const passwords = createPasswordCheck({
    throttle: shared ? shareLoginThrottle(throttle, shared) : throttle,
    decoy: await hashPassword('', options.passwordCost ?? DEFAULT_COST),
    now,
  });
  return createAuthenticate({ directory, passwords, tokens, wallClock });
}
