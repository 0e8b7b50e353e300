import { LRUCache } from 'lru-cache';
import { profileOfFeatures } from '../host/assumed-features.ts';
import type { HostProfile } from '../host/profile.ts';
import type { Repository } from '../oci/reference.ts';
import type { Admission, AdmissionController, Registry, RequestContext } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { AccountIdentity } from './account.ts';
import type { Audit } from './audit.ts';
import type { Authenticate, Authenticated, KnownLogin } from './authenticate.ts';
import type { ClientAddress, SiteUrl } from './client-address.ts';
import { isGranted, type PermissionsOf } from './permissions.ts';
import { challenge, unauthorized } from './responses.ts';

export interface SiteAdmissionOptions {
  readonly authenticate: Authenticate;
  /** The mirror as a host of this profile sees it. */
  readonly registryFor: (profile: HostProfile) => Registry;
  readonly rightsOf: PermissionsOf;
  readonly siteUrl: SiteUrl;
  readonly clientAddress: ClientAddress;
  readonly audit: Audit;
}

/** Selectors can name any number of profiles: only the views used last are kept ready. */
const VIEWS_MAX = 512;

const REFUSED: Readonly<Partial<Record<string, string>>> = { DENIED: 'not allowed' };

/** Admits logins, each to the mirror as its machine type sees it. */
export function createSiteAdmission(options: SiteAdmissionOptions): AdmissionController {
  const { authenticate, registryFor, rightsOf, siteUrl, clientAddress, audit } = options;
  const views = new LRUCache<string, Registry>({ max: VIEWS_MAX });
  const admissions = new WeakMap<AccountIdentity, Admission>();

  function viewOf(key: string, features: readonly string[]): Registry {
    const known = views.get(key);
    if (known) return known;
    const view = registryFor(profileOfFeatures(features));
    views.set(key, view);
    return view;
  }

  /** What is wrong with an authenticated request; undefined when nothing is. */
  function objection({ identity, grants }: KnownLogin, arrival: RequestContext): RegistryError | undefined {
    const { repository, headers, action = 'pull' } = arrival;
    if (repository === undefined) return undefined;
    if (!allows(identity, repository, action)) {
      return new RegistryError(
        'DENIED',
        `${identity.login} may not ${action} ${repository.host}/${repository.name}`,
      );
    }
    if (grants === undefined || isGranted(grants, repository, action)) return undefined;
    const header = challenge(siteUrl(headers), { repository, action, error: 'insufficient_scope' });
    return new RegistryError('UNAUTHORIZED', 'the token is for another repository: fetch another one', {
      headers: { 'www-authenticate': header },
    });
  }

  /** The login of a machine type, which is on the machine itself, only pulls. */
  function allows(identity: AccountIdentity, repository: Repository, action: 'pull' | 'push'): boolean {
    const { mayPull, mayPush } = rightsOf(identity);
    if (action === 'pull') return mayPull(repository);
    return identity.login === identity.account.user && mayPush(repository);
  }

  function admissionOf(identity: AccountIdentity): Admission {
    const known = admissions.get(identity);
    if (known !== undefined) return known;
    const { login, features } = identity;
    const { access, mayPull } = rightsOf(identity);
    const mayPush = (repository: Repository) => allows(identity, repository, 'push');
    // The features themselves, not a short hash of them: a client that chooses its selector could choose a collision.
    const registry = viewOf(JSON.stringify(features), features);
    const key = JSON.stringify([features, access?.partition]);
    const admission = {
      kind: 'admitted',
      registry,
      key,
      login,
      mayPull,
      mayPush,
      ...(access && { access }),
    } as const;
    admissions.set(identity, admission);
    return admission;
  }

  function decide(found: Authenticated, arrival: RequestContext, address: string): Admission {
    const { headers, repository, action } = arrival;
    if (found.kind === 'unknown') {
      audit({ decision: 'refused', reason: found.reason, who: found.who, repository, address });
      return { kind: 'refused', error: unauthorized(found, { siteUrl, headers, repository, action }) };
    }
    const { login: who, account, features, token } = found.identity;
    const subject = { who, account: account.user, token: token?.name, features, repository, address, action };
    const error = objection(found, arrival);
    if (error) {
      audit({ decision: 'refused', reason: REFUSED[error.code] ?? 'other scope', ...subject });
      return { kind: 'refused', error };
    }
    audit({ decision: 'admitted', ...subject });
    return admissionOf(found.identity);
  }

  return {
    // Without waiting whenever possible: only then may the server repeat an answer from memory.
    admit: (arrival) => {
      const address = clientAddress(arrival.remoteAddress, arrival.headers);
      const { authorization } = arrival.headers;
      const found = authenticate.byHeaderNow(authorization);
      if (found !== undefined) return decide(found, arrival, address);
      return authenticate
        .byHeader(authorization, { address, signal: arrival.signal })
        .then((checked) => decide(checked, arrival, address));
    },
  };
}
