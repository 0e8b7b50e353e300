import { LRUCache } from 'lru-cache';
import { profileOfFeatures } from '../host/assumed-features.ts';
import type { HostProfile } from '../host/profile.ts';
import type { Admission, AdmissionController, Registry, RequestContext } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { AccountIdentity } from './account.ts';
import type { Audit } from './audit.ts';
import type { Authenticate, Authenticated, KnownLogin } from './authenticate.ts';
import type { ClientAddress, SiteUrl } from './client-address.ts';
import { mayPull, type PermissionsOf } from './permissions.ts';
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
    const { repository, headers } = arrival;
    if (repository === undefined) return undefined;
    if (!rightsOf(identity).mayPull(repository)) {
      return new RegistryError(
        'DENIED',
        `${identity.login} may not pull ${repository.host}/${repository.name}`,
      );
    }
    if (grants === undefined || mayPull(grants, repository)) return undefined;
    const header = challenge(siteUrl(headers), repository, 'insufficient_scope');
    return new RegistryError('UNAUTHORIZED', 'the token is for another repository: fetch another one', {
      headers: { 'www-authenticate': header },
    });
  }

  function admissionOf(identity: AccountIdentity): Admission {
    const known = admissions.get(identity);
    if (known !== undefined) return known;
    const { login, features } = identity;
    const { access } = rightsOf(identity);
    // The features themselves, not a short hash of them: a client that chooses its selector could choose a collision.
    const registry = viewOf(JSON.stringify(features), features);
    const key = JSON.stringify([features, access?.partition]);
    const admission = { kind: 'admitted', registry, key, login, ...(access && { access }) } as const;
    admissions.set(identity, admission);
    return admission;
  }

  function decide(found: Authenticated, arrival: RequestContext, address: string): Admission {
    const { headers, repository } = arrival;
    if (found.kind === 'unknown') {
      audit({ decision: 'refused', reason: found.reason, who: found.who, repository, address });
      return { kind: 'refused', error: unauthorized(found, { siteUrl, headers, repository }) };
    }
    const { login: who, account, features, token } = found.identity;
    const subject = { who, account: account.user, token: token?.name, features, repository, address };
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
