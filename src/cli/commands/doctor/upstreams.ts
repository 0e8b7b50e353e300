import type { TLSSocket } from 'node:tls';
import { hostOf, portOf, resolveReference } from '../../../lib/url.ts';
import { DOCKER_HUB, type RepositoryName } from '../../../oci/reference.ts';
import type { Credentials } from '../../../upstream/auth/credentials.ts';
import { type Challenge, createTokenCache, parseChallenges, scopeOf } from '../../../upstream/auth/token.ts';
import { fromNetworkError } from '../../../upstream/errors.ts';
import { drain } from '../../../upstream/http/reply.ts';
import { USER_AGENT } from '../../../upstream/http/transport.ts';
import type { Dial } from '../../../upstream/net/dial.ts';
import { apiRootOf, DEFAULT_TIMEOUTS, type UpstreamSettings } from '../../../upstream/settings.ts';
import { openConnectionTo } from '../../open-upstream.ts';
import type { Upstreams } from '../../settings/upstreams.ts';
import { type Check, type CheckResult, fail, pass, warn } from './check.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** The answer of one endpoint of a registry to `GET /v2/`. */
interface Probe {
  readonly registry: string;
  readonly url: string;
  readonly proxy?: string | undefined;
  /** Why there was no answer. */
  readonly failure?: string | undefined;
  readonly status?: number;
  /** How far the registry's clock is ahead of this machine's, in milliseconds. */
  readonly aheadMs?: number | undefined;
  readonly validTo?: Date | undefined;
  readonly bearer?: Challenge | undefined;
}

export interface UpstreamCheckOptions {
  /** The registries that the operator named, and Docker Hub. */
  readonly upstreams: Upstreams;
  /** The environment of the mirror. */
  readonly environment: Environment;
  readonly credentials: Credentials;
  readonly now: () => number;
}

/** TLS certificates and tokens fail when clocks differ by minutes. */
const CLOCK_WARN_MS = 60_000;
const CLOCK_FAIL_MS = 5 * 60_000;
/** ACME clients renew thirty days before the end. One that has not renewed by then has a problem. */
const CERTIFICATE_WARN_MS = 14 * 24 * 3_600_000;

/** A repository for which registries give tokens to anonymous clients. */
const REPOSITORY = 'library/hello-world' as RepositoryName;

/** Returns the result for a certificate that ends at this time. */
export function validity(name: string, validTo: Date, nowMs: number): CheckResult {
  const day = validTo.toISOString().slice(0, 10);
  const leftMs = validTo.getTime() - nowMs;
  if (leftMs <= 0) return fail(`${name} expired on ${day}`, 'Renew it.');
  if (leftMs < CERTIFICATE_WARN_MS)
    return warn(`${name} expires on ${day}`, 'Renew it, and find out why that did not happen automatically.');
  return pass(`${name} is valid until ${day}`);
}

/**
 * Returns when the certificate of a host ends; undefined when the socket does not know. A resumed TLS session
 * does not know it, so this must be the first connection.
 */
async function certificateEnd(dial: Dial, root: URL): Promise<Date | undefined> {
  const socket = (await dial({ host: hostOf(root), port: portOf(root), secure: true })) as TLSSocket;
  const { valid_to: validTo } = socket.getPeerCertificate();
  socket.destroy();
  return validTo === undefined ? undefined : new Date(validTo);
}

async function probe(
  registry: string,
  settings: UpstreamSettings,
  url: string,
  { environment, now }: UpstreamCheckOptions,
): Promise<Probe> {
  const root = apiRootOf(url);
  const base = { registry, url: root.origin };
  const { dial, proxyOf, transport } = openConnectionTo(settings, environment);
  try {
    const proxy = proxyOf(root)?.host;
    const validTo = root.protocol === 'https:' ? await certificateEnd(dial, root) : undefined;
    const headers = { 'accept-encoding': 'identity', 'user-agent': USER_AGENT };
    const reply = await transport.send({ method: 'GET', url: new URL(`${root.href}/`), headers });
    const date = Date.parse(reply.headers['date'] ?? '');
    drain(reply);
    const challenges = parseChallenges(reply.headers['www-authenticate'] ?? '');
    return {
      ...base,
      proxy,
      status: reply.status,
      aheadMs: Number.isNaN(date) ? undefined : date - now(),
      validTo,
      bearer: challenges.find(({ scheme, parameters }) => scheme === 'bearer' && parameters.has('realm')),
    };
  } catch (error) {
    return { ...base, failure: fromNetworkError(error, root.host).message };
  } finally {
    await transport.close();
  }
}

function reachability(probes: readonly Probe[]): CheckResult {
  const failures = probes.filter(({ failure, status = 0 }) => failure !== undefined || status >= 500);
  const why = failures
    .map(({ url, failure, status }) => `${url}: ${failure ?? `status ${status}`}`)
    .join('; ');
  const remedy =
    'See that this machine reaches it: its name (DNS), a proxy (HTTPS_PROXY in /etc/default/metahub), its certificate (tls.ca).';
  if (failures.length === probes.length) return fail(why, remedy);
  const reached = probes.filter((one) => !failures.includes(one));
  const said = reached.map(
    ({ url, proxy }) => `${url}${proxy === undefined ? '' : ` by the proxy ${proxy}`}`,
  );
  const answers = `${said.join(', ')} answers`;
  return failures.length === 0 ? pass(answers) : warn(`${answers}; ${why}`, remedy);
}

async function tokenOf(
  { registry, url, bearer }: Probe,
  settings: UpstreamSettings,
  { environment, credentials }: UpstreamCheckOptions,
): Promise<CheckResult> {
  if (bearer === undefined) return pass(`${url} needs no token`);
  const realm = resolveReference(bearer.parameters.get('realm') ?? '', { url: new URL(url), target: '/' });
  if (realm === undefined)
    return fail(`${url} names a token service that is not a URL`, 'Tell the operator of the registry.');
  const login = await credentials.loginFor(registry, REPOSITORY);
  const { transport } = openConnectionTo(settings, environment);
  const tokens = createTokenCache({
    send: transport.send,
    timeouts: DEFAULT_TIMEOUTS,
    now: () => performance.now(),
  });
  const as = login === undefined ? 'to strangers' : 'to the stored login';
  try {
    const scope = scopeOf(bearer, REPOSITORY);
    await tokens.obtain('doctor', { realm, service: bearer.parameters.get('service'), scope, login });
    return pass(`${realm.url.host} gives tokens ${as}`);
  } catch (error) {
    const reason = fromNetworkError(error, realm.url.host).message;
    const remedy =
      login === undefined
        ? 'Store a login in /etc/metahub/auth.json, if images of this registry need one.'
        : 'Replace the login in /etc/metahub/auth.json.';
    return (login === undefined ? warn : fail)(`no token ${as}: ${reason}`, remedy);
  } finally {
    await transport.close();
  }
}

function clockOf(probes: readonly Probe[]): CheckResult {
  const known = probes.filter(({ aheadMs }) => aheadMs !== undefined);
  const [nearest] = known.sort((a, b) => Math.abs(a.aheadMs ?? 0) - Math.abs(b.aheadMs ?? 0));
  if (nearest === undefined)
    return warn('no registry answered with the time', 'See the checks “REGISTRY: reached”.');
  const aheadMs = nearest.aheadMs ?? 0;
  const differenceS = Math.round(Math.abs(aheadMs) / 1000);
  const message = `this machine's clock is ${differenceS} s ${aheadMs > 0 ? 'behind' : 'ahead of'} that of ${nearest.url}`;
  const remedy =
    'Set it: timedatectl set-ntp true. The validity of certificates and tokens depends on the clock.';
  if (Math.abs(aheadMs) > CLOCK_FAIL_MS) return fail(message, remedy);
  return Math.abs(aheadMs) > CLOCK_WARN_MS ? warn(message, remedy) : pass(message);
}

function certificatesOf(probes: readonly Probe[], nowMs: number): CheckResult {
  const results = probes.flatMap(({ url, validTo }) =>
    validTo === undefined ? [] : [validity(`the certificate of ${url}`, validTo, nowMs)],
  );
  const bad =
    results.find(({ status }) => status === 'fail') ?? results.find(({ status }) => status === 'warn');
  if (bad !== undefined) return bad;
  if (results.length > 0) return pass(results.map(({ message }) => message).join('; '));
  return probes.some(({ url }) => url.startsWith('https:'))
    ? warn('no registry showed its certificate', 'See the checks “REGISTRY: reached”.')
    : pass('no registry speaks TLS');
}

/**
 * Returns the checks of registries: for each whether it is reachable and gives tokens, and for all together
 * whether clocks agree and certificates are valid.
 */
export function upstreamChecks(options: UpstreamCheckOptions): readonly Check[] {
  const probing = [...options.upstreams].map(([registry, settings]) => ({
    registry,
    settings,
    probes: Promise.all(settings.endpoints.map(({ url }) => probe(registry, settings, url, options))),
  }));
  const all = async () => (await Promise.all(probing.map(({ probes }) => probes))).flat();
  const ofEach = probing.flatMap(({ registry, settings, probes }): readonly Check[] => [
    { name: `${registry}: reached`, run: async () => reachability(await probes) },
    {
      name: `${registry}: token`,
      run: async () => {
        const reached = (await probes).find(({ failure }) => failure === undefined);
        if (reached === undefined) return warn('not checked: the registry is not reachable', 'See above.');
        return tokenOf(reached, settings, options);
      },
    },
  ]);
  if (probing.length === 0) return [];
  return [
    ...ofEach,
    { name: 'clock', run: async () => clockOf(await all()) },
    { name: 'certificates', run: async () => certificatesOf(await all(), options.now()) },
  ];
}

/** Returns the registries to check: the named ones, and Docker Hub when it is allowed. */
export function upstreamsToCheck(named: Upstreams, allowed: Upstreams): Upstreams {
  const hub = allowed.get(DOCKER_HUB);
  return new Map([...(hub === undefined ? [] : [[DOCKER_HUB, hub] as const]), ...named]);
}
