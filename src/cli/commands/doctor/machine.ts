import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { stat, statfs } from 'node:fs/promises';
import { promisify } from 'node:util';
import { isDetectedKind } from '../../../host/features.ts';
import { whyUnreadable } from '../../../lib/config-error.ts';
import { readRegularFile, readTextFile } from '../../../lib/regular-file.ts';
import type { ListSpec } from '../../../oci/image-list.ts';
import { formatRepository } from '../../../oci/reference.ts';
import { readFeature } from '../../../selection/demands.ts';
import { proxyFor, proxyFromEnvironment } from '../../../upstream/net/dial.ts';
import { type Check, type CheckResult, fail, pass, warn } from './check.ts';
import { unreachable } from './runtimes.ts';
import { validity } from './upstreams.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Minimum share of free disk space. Below it, kubelet evicts pods. */
const FREE_MIN = 0.15;
const PROGRAM_MS = 10_000;
const READABLE_BY_ALL = 0o004;
/** The first version of dockerd that chooses among the levels of amd64. */
const CHOOSES_LEVELS = [29, 5] as const;

async function outputOf(program: string, ...args: readonly string[]): Promise<string | undefined> {
  try {
    return (await promisify(execFile)(program, args, { timeout: PROGRAM_MS })).stdout.trim();
  } catch {
    return undefined;
  }
}

/** Checks that the file system of the cache has free space, or that of `/` while the cache has no folder. */
export function diskCheck(dataFolder: string): Check {
  return {
    name: 'disk',
    run: async () => {
      const { bavail, blocks } = await statfs(dataFolder).catch(() => statfs('/'));
      const free = blocks === 0 ? 1 : Number(bavail) / Number(blocks);
      const percent = `${Math.round(free * 100)} % free on the file system of the cache`;
      return free >= FREE_MIN
        ? pass(percent)
        : warn(percent, 'Make room, or lower --cache-size: kubelet evicts pods below 15 %.');
    },
  };
}

/** @param mirror the environment of the mirror @param shell the environment of this command */
export function proxyCheck(mirror: Environment, shell: Environment): Check {
  const targets = ['https://registry.example', 'http://registry.example'] as const;
  return {
    name: 'proxy',
    run: async () => {
      try {
        const proxies = (environment: Environment) =>
          targets.map((target) => proxyFor(new URL(target), proxyFromEnvironment(environment))?.host);
        const [ofMirror, ofShell] = [proxies(mirror), proxies(shell)];
        if (ofMirror.every((one) => one === undefined) && ofShell.some((one) => one !== undefined)) {
          return warn(
            'this shell has a proxy in its environment, and the service has none',
            'Write HTTPS_PROXY=… into /etc/default/metahub and restart the service, if registries need it.',
          );
        }
        const said = targets.flatMap((target, at) =>
          ofMirror[at] === undefined ? [] : [`${new URL(target).protocol}// by ${ofMirror[at]}`],
        );
        return pass(said.join(', ') || 'none is set: registries are reached directly');
      } catch (error) {
        return fail((error as Error).message, 'Write HTTPS_PROXY=http://HOST:PORT.');
      }
    },
  };
}

/** Checks the certificate that the mirror presents to its clients. */
export function ownCertificateCheck(path: string, now: () => number): Check {
  return {
    name: 'own certificate',
    run: async () => {
      const { validTo } = new X509Certificate(await readRegularFile(path));
      return validity(path, new Date(validTo), now());
    },
  };
}

/** The file that systemd passes to the running service (LoadCredential). */
const HANDED_OVER = '/run/credentials/metahub.service/auth.json';
const BY_CREDENTIAL =
  'Keep it readable for root only, and pass it to the service: systemctl edit metahub, with [Service] and LoadCredential=auth.json:/etc/metahub/auth.json.';

async function loginsIn(path: string): Promise<CheckResult | number> {
  try {
    const { auths = {}, credHelpers = {} } = JSON.parse(await readTextFile(path)) ?? {};
    return Object.keys({ ...auths, ...credHelpers }).length;
  } catch (error) {
    const why = error instanceof SyntaxError ? 'it is not JSON' : whyUnreadable(error);
    return fail(`${path}: ${why}`, 'Write it as docker login does.');
  }
}

/** @param files those that an operator gave to the mirror @param isService true when it runs as its own user */
export function credentialsCheck(files: readonly string[], isService: boolean): Check {
  return {
    name: 'credentials',
    run: async () => {
      const handedOver = isService && (await stat(HANDED_OVER).catch(() => undefined)) !== undefined;
      for (const path of files) {
        const stats = await stat(path).catch(() => undefined);
        if (stats === undefined) continue;
        const logins = await loginsIn(path);
        if (typeof logins !== 'number') return logins;
        const count = logins === 1 ? 'one login' : `${logins} logins`;
        const isForAll = (stats.mode & READABLE_BY_ALL) !== 0;
        if (isForAll && logins > 0)
          return warn(`every user of this machine can read ${path} with ${count}`, BY_CREDENTIAL);
        if (isService && !isForAll && !handedOver)
          return fail(`the user of the service cannot read ${path}`, BY_CREDENTIAL);
        return pass(`${path} holds ${count}, and the mirror can read it`);
      }
      return pass('no login is stored for the mirror');
    },
  };
}

/**
 * Checks that hosts can have every feature that lists demand. A feature of an operator's own kind needs a
 * file that claims it.
 */
export function featuresCheck(
  lists: () => Promise<readonly ListSpec[]>,
  claimed: () => Promise<readonly string[]>,
): Check {
  const kindOf = (feature: string) => readFeature(feature).kind;
  return {
    name: 'features',
    run: async () => {
      const kinds = new Set((await claimed()).map(kindOf));
      for (const { repository, members } of await lists()) {
        const unknown = members
          .flatMap(({ platform }) => platform?.features ?? [])
          .find((feature) => !isDetectedKind(kindOf(feature)) && !kinds.has(kindOf(feature)));
        if (unknown !== undefined) {
          return warn(
            `the list ${formatRepository(repository)} demands ${unknown}, and this host claims no feature of that kind`,
            'Claim it in /etc/metahub/features.d on the hosts that have it, or correct its name in the list.',
          );
        }
      }
      return pass('hosts can claim every feature that the lists of images demand');
    },
  };
}

/** dockerd 29.5 and later chooses among the levels of amd64. An answer of MetaHub leaves it no choice. */
export const DOCKER_LEVELS_CHECK: Check = {
  name: 'docker: levels',
  run: async () => {
    const version = await outputOf('docker', 'version', '--format', '{{.Server.Version}}');
    const [major = 0, minor = 0] = (version ?? '').split('.').map(Number);
    if (version === undefined || Number.isNaN(major))
      return (
        (await unreachable('docker')) ??
        warn('dockerd does not say which version it is', 'See that it runs: systemctl status docker.')
      );
    const chooses = major > CHOOSES_LEVELS[0] || (major === CHOOSES_LEVELS[0] && minor >= CHOOSES_LEVELS[1]);
    return pass(
      chooses
        ? `dockerd ${version} chooses a level of amd64 itself when it pulls by digest; for a tag, MetaHub leaves it one entry`
        : `dockerd ${version} chooses no levels by itself`,
    );
  },
};

const CONTAINERD_STORE = /^io\.containerd\.snapshotter\./;

/**
 * Returns true when this `DriverStatus` of `docker info`, in JSON, shows the containerd image store;
 * undefined when it is not a DriverStatus.
 */
export function isContainerdStore(driverStatus: string): boolean | undefined {
  let pairs: unknown;
  try {
    pairs = JSON.parse(driverStatus);
  } catch {
    return undefined;
  }
  if (!Array.isArray(pairs)) return undefined;
  return pairs.some(
    (pair) => Array.isArray(pair) && pair[0] === 'driver-type' && CONTAINERD_STORE.test(String(pair[1])),
  );
}

/** Checks that dockerd sends the mirror the login for Docker Hub, which the mirror must pass through. */
export const DOCKER_LOGIN_CHECK: Check = {
  name: 'docker: shows its login',
  run: async () => {
    const status = await outputOf('docker', 'info', '--format', '{{json .DriverStatus}}');
    const hasContainerdStore = isContainerdStore(status ?? '');
    if (hasContainerdStore === undefined)
      return (
        (await unreachable('docker')) ??
        warn('dockerd does not say which image store it has', 'See that it runs: systemctl status docker.')
      );
    return hasContainerdStore
      ? warn(
          'passThrough is set for docker.io, and dockerd’s containerd image store sends its login to no mirror: dockerd pulls private images from Docker Hub itself, untailored',
          'Store the login for the mirror (/etc/metahub/auth.json), or use the classic image store: docs/private-images.md.',
        )
      : pass('dockerd’s classic image store sends the mirror its login for docker.io');
  },
};
