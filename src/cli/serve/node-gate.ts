import { createHash } from 'node:crypto';
import type { HostProfile } from '../../host/profile.ts';
import { profileKey } from '../../host/profile-key.ts';
import { DOCKER_HUB, type SourceHost } from '../../oci/reference.ts';
import {
  type Admission,
  type AdmissionController,
  type Admitted,
  ClientCredential,
  type RequestContext,
} from '../../oci/registry.ts';
import { RegistryError } from '../../oci/registry-error.ts';
import type { MirrorStack } from './compose.ts';

/**
 * The gate of a mirror for this host alone: it admits every client to the registry that is tailored to the
 * host's profile.
 */
export interface NodeAdmission extends AdmissionController {
  setProfile(profile: HostProfile): void;
  profile(): HostProfile;
}

export interface NodeAdmissionOptions {
  readonly stack: Pick<MirrorStack, 'registryFor' | 'challenge'>;
  readonly profile: HostProfile;
  /** The source hosts to whose registries a client's own login is presented. */
  readonly passing: ReadonlySet<SourceHost>;
  /** Called once for each source host, when a client of the containerd store sends no login. */
  readonly onNoLogin: (host: SourceHost, userAgent: string) => void;
  /** Monotonic milliseconds. */
  readonly now: () => number;
}

/** How long a registry's challenge, or its absence, is trusted, in milliseconds. */
const CHALLENGE_MAX_AGE_MS = 5 * 60_000;

/**
 * Matches containerd itself (`containerd/1.7.2`) and dockerd with the containerd image store (`docker/29.1.3
 * … containerd-client/2.2.0`). Neither sends a mirror the login of Docker Hub.
 */
const CONTAINERD_CLIENT = /\bcontainerd(?:-client)?\//;

/**
 * Creates the gate, which admits every client. Where the mirror passes on clients' own logins
 * (`passThrough`), a request for the API's root without a login is answered with the challenge of the
 * registry itself. dockerd then fetches a token there with the login of its user. The cache shows content
 * that was pulled with a token only to clients whose token the registry accepts as well.
 */
export function createNodeAdmission({
  stack,
  profile: first,
  passing,
  onNoLogin,
  now,
}: NodeAdmissionOptions): NodeAdmission {
  const admittedAs = (profile: HostProfile): Admitted => ({
    kind: 'admitted',
    registry: stack.registryFor(profile),
    key: profileKey(profile),
  });
  let current = first;
  /** Made when the first request needs it: its key takes cryptography, which a start does without. */
  let admitted: Admitted | undefined;
  const admission = (): Admitted => {
    admitted ??= admittedAs(current);
    return admitted;
  };
  let known: { readonly challenge: string | undefined; readonly askedMs: number } | undefined;

  const reported = new Set<SourceHost>();

  function admitWithoutLogin(host: SourceHost, userAgent = ''): Admitted {
    if (CONTAINERD_CLIENT.test(userAgent) && !reported.has(host)) {
      reported.add(host);
      onNoLogin(host, userAgent);
    }
    return admission();
  }

  async function challengeOrAdmit(): Promise<Admission> {
    if (known === undefined || now() - known.askedMs > CHALLENGE_MAX_AGE_MS) {
      try {
        known = { challenge: await stack.challenge(DOCKER_HUB), askedMs: now() };
      } catch (error) {
        if (!(error instanceof RegistryError)) throw error;
        // The registry is not reachable now, but stored content can still be served.
        return admission();
      }
    }
    if (known.challenge === undefined) return admission();
    const headers = { 'www-authenticate': known.challenge };
    return {
      kind: 'refused',
      error: new RegistryError('UNAUTHORIZED', 'log in as to the registry itself', { headers }),
    };
  }

  function admittedWith(host: SourceHost, authorization: string): Admitted {
    const partition = createHash('sha256').update(authorization).digest('base64url');
    const everybody = admission();
    const credential = new ClientCredential(host, authorization);
    return { ...everybody, key: `${everybody.key} ${partition}`, access: { partition, credential } };
  }

  return {
    admit: ({ headers, repository }: RequestContext) => {
      const host = repository?.host ?? DOCKER_HUB;
      if (!passing.has(host)) return admission();
      const { authorization } = headers;
      if (authorization !== undefined) return admittedWith(host, authorization);
      return repository === undefined ? challengeOrAdmit() : admitWithoutLogin(host, headers['user-agent']);
    },
    setProfile: (profile) => {
      current = profile;
      admitted = undefined;
    },
    profile: () => current,
  };
}
