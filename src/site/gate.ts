import { LRUCache } from 'lru-cache';
import { profileOfFeatures } from '../host/assumed-features.ts';
import type { HostProfile } from '../host/profile.ts';
import type { Admission, AdmissionController, RequestContext } from '../oci/admission.ts';
import type { Registry } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { AccountIdentity } from './account.ts';
import type { AuditEntry } from './audit.ts';
import { challenge, unauthorized } from './auth-errors.ts';
import type { SiteUrl } from './auth-header.ts';
import type { Authenticate, Authenticated } from './authenticate.ts';
import type { ClientAddress } from './client-address.ts';
import type { PermissionsOf } from './permissions.ts';
import { mayPull } from './scope.ts';

export interface SiteAdmissionOptions {
  readonly authenticate: Authenticate;
  /** The mirror as a host of this profile sees it. */
  readonly registryFor: (profile: HostProfile) => Registry;
  readonly rightsOf: PermissionsOf;
  readonly siteUrl: SiteUrl;
  readonly clientAddress: ClientAddress;
  readonly audit: (decision: AuditEntry) => void;
}

/** Selectors can name as many profiles as they please: only the latest are held ready. */
const VIEWS_MAX = 512;

/** Admits logins, each to the mirror as its machine type sees it. */
export function createSiteAdmission(options: SiteAdmissionOptions): AdmissionController {
  const { authenticate, registryFor, rightsOf, siteUrl, clientAddress, audit } = options;
  const views = new LRUCache<string, Registry>({ max: VIEWS_MAX });

  function viewOf(name: string, features: readonly string[]): Registry {
    const known = views.get(name);
    if (known) return known;
    const view = registryFor(profileOfFeatures(features));
    views.set(name, view);
    return view;
  }

  /** What is wrong with a known login's request; undefined when nothing is. */
  function objection(
    known: Extract<Authenticated, { kind: 'known' }>,
    arrival: RequestContext,
  ): RegistryError | undefined {
    const { identity, grants } = known;
    const { repository, headers } = arrival;
    if (repository === undefined) return undefined;
    if (!rightsOf(identity.account).patterns.matches(repository)) {
      return new RegistryError(
        'DENIED',
        `${identity.login} may not pull ${repository.host}/${repository.name}`,
      );
    }
    if (grants === undefined || mayPull(grants, repository)) return undefined;
    const header = challenge(siteUrl(headers), repository, 'insufficient_scope');
    return new RegistryError('UNAUTHORIZED', 'the token is for another repository: ask for another', {
      headers: { 'www-authenticate': header },
    });
  }

  function admitted({ login, account, features }: AccountIdentity): Admission {
    // The claims themselves, not a short hash of them: who picks a selector could pick a collision.
    const name = features.join(',');
    const access = rightsOf(account).access;
    return {
      kind: 'admitted',
      registry: viewOf(name, features),
      key: `${name} ${access?.partition ?? ''}`,
      login,
      ...(access === undefined ? {} : { access }),
    };
  }

  return {
    admit: async (arrival) => {
      const { headers, repository } = arrival;
      const address = clientAddress(arrival.remoteAddress, headers);
      const found = await authenticate.byHeader(headers.authorization, address);
      if (found.kind === 'unknown') {
        audit({ decision: 'refused', reason: found.reason, who: found.who, repository, address });
        return { kind: 'refused', error: unauthorized(found, { siteUrl, headers, repository }) };
      }
      const { login: who, account, features } = found.identity;
      const error = objection(found, arrival);
      const decided = { who, account: account.user, features, repository, address };
      if (error) {
        audit({
          decision: 'refused',
          reason: error.code === 'DENIED' ? 'not allowed' : 'other scope',
          ...decided,
        });
        return { kind: 'refused', error };
      }
      audit({ decision: 'admitted', ...decided });
      return admitted(found.identity);
    },
  };
}
