import { LRUCache } from 'lru-cache';
import { profileOfFeatures } from '../host/assumed-features.ts';
import type { HostProfile } from '../host/profile.ts';
import type { Repository } from '../oci/reference.ts';
import type { Admission, AdmissionController, Registry, RequestContext } from '../oci/registry.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { AccountIdentity } from './account.ts';
import type { Audit, AuditEntry, AuditReason } from './audit.ts';
import type { Authenticate, Authenticated, KnownLogin } from './authenticate.ts';
import type { ClientAddress, SiteUrl } from './client-address.ts';
import { isGranted, type PermissionsOf } from './permissions.ts';
import type { PullRecord } from './pull-record.ts';
import { challenge, unauthorized } from './responses.ts';
import type { Grant } from './token.ts';

export interface SiteAdmissionOptions {
  readonly authenticate: Authenticate;
  /** Returns the mirror for a host with this profile. */
  readonly registryFor: (profile: HostProfile) => Registry;
  readonly rightsOf: PermissionsOf;
  readonly siteUrl: SiteUrl;
  readonly clientAddress: ClientAddress;
  readonly audit: Audit;
  readonly record: PullRecord;
}

/**
 * Maximum number of views. Clients can choose any number of selectors, so only the most recently used views
 * are kept.
 */
const VIEWS_MAX = 512;

/**
 * A pull that was admitted. The gate admits it again without a check while the login and its rights are the
 * same objects.
 */
interface AdmittedPull {
  readonly identity: AccountIdentity;
  readonly repository: Repository | undefined;
  readonly address: string;
  readonly entry: AuditEntry;
  /** Notes the machine once more. Undefined: the request is for no repository. */
  readonly noteHost: (() => void) | undefined;
}

const REFUSED: Readonly<Partial<Record<string, AuditReason>>> = { DENIED: 'not-allowed' };

/** Admits logins, each to the mirror of its machine type. */
class SiteAdmission implements AdmissionController {
  readonly #options: SiteAdmissionOptions;
  readonly #views = new LRUCache<string, Registry>({ max: VIEWS_MAX });
  readonly #admissions = new WeakMap<AccountIdentity, Admission>();
  /** The last admitted pull of each token, by the token's grants. */
  readonly #admitted = new WeakMap<readonly Grant[], AdmittedPull>();

  constructor(options: SiteAdmissionOptions) {
    this.#options = options;
  }

  /** Decides synchronously whenever possible, because the server repeats an answer from memory only then. */
  admit(arrival: RequestContext): Admission | Promise<Admission> {
    const { clientAddress, authenticate } = this.#options;
    const address = clientAddress(arrival.remoteAddress, arrival.headers);
    const { authorization } = arrival.headers;
    const found = authenticate.byHeaderNow(authorization, arrival.connection);
    if (found !== undefined) return this.#decide(found, arrival, address);
    return authenticate
      .byHeader(authorization, { address, signal: arrival.signal })
      .then((checked) => this.#decide(checked, arrival, address));
  }

  #decide(found: Authenticated, arrival: RequestContext, address: string): Admission {
    const { siteUrl, audit } = this.#options;
    const { headers, repository, action } = arrival;
    if (found.kind === 'unknown') {
      audit({ decision: 'refused', reason: found.reason, who: found.who, repository, address });
      return { kind: 'refused', error: unauthorized(found, { siteUrl, headers, repository, action }) };
    }
    const { identity, grants } = found;
    const known = grants && action === undefined ? this.#admitted.get(grants) : undefined;
    if (known?.identity === identity && known.repository === repository && known.address === address) {
      return this.#admit(known);
    }
    const { login: who, account, features, token } = identity;
    const subject = { who, account: account.user, token: token?.name, features, repository, address, action };
    const error = this.#objection(found, arrival);
    if (error) {
      audit({ decision: 'refused', reason: REFUSED[error.code] ?? 'other-scope', ...subject });
      return { kind: 'refused', error };
    }
    const noteHost = repository && this.#options.record.hostAt(identity, address);
    const entry = { decision: 'admitted', ...subject } as const;
    const pull = { identity, repository, address, entry, noteHost };
    if (grants && action === undefined) this.#admitted.set(grants, pull);
    return this.#admit(pull);
  }

  #admit({ identity, entry, noteHost }: AdmittedPull): Admission {
    this.#options.audit(entry);
    noteHost?.();
    return this.#admissionOf(identity);
  }

  /** Returns why an authenticated request is refused; undefined when it is admitted. */
  #objection({ identity, grants }: KnownLogin, arrival: RequestContext): RegistryError | undefined {
    const { repository, headers, action = 'pull' } = arrival;
    if (repository === undefined) return undefined;
    const { mayPull, mayPush } = this.#options.rightsOf(identity);
    if (!(action === 'pull' ? mayPull : mayPush)(repository)) {
      return new RegistryError(
        'DENIED',
        `${identity.login} may not ${action} ${repository.host}/${repository.name}`,
      );
    }
    if (grants === undefined || isGranted(grants, repository, action)) return undefined;
    const site = this.#options.siteUrl(headers);
    const header = challenge(site, { repository, action, error: 'insufficient_scope' });
    return new RegistryError('UNAUTHORIZED', 'the token is for another repository: fetch another one', {
      headers: { 'www-authenticate': header },
    });
  }

  #admissionOf(identity: AccountIdentity): Admission {
    const known = this.#admissions.get(identity);
    if (known !== undefined) return known;
    const { login, features } = identity;
    const { access, mayPull, mayPush } = this.#options.rightsOf(identity);
    const key = JSON.stringify([features, access?.partition]);
    // The key contains the features themselves: clients choose selectors, so they could choose two whose
    // short hashes collide.
    const viewKey = JSON.stringify(features);
    const view = () => this.#viewOf(viewKey, features);
    const admission = {
      kind: 'admitted',
      /**
       * Created by the first request that needs it, so that a login alone creates no view. Looked up each time:
       * there are more identities than views.
       */
      get registry() {
        return view();
      },
      key,
      login,
      mayPull,
      mayPush,
      noteAnswer: this.#options.record.answersTo(identity),
      ...(access && { access }),
    } as const;
    this.#admissions.set(identity, admission);
    return admission;
  }

  #viewOf(key: string, features: readonly string[]): Registry {
    const known = this.#views.get(key);
    if (known) return known;
    const profile = profileOfFeatures(features);
    this.#options.record.noteProfile(profile, features);
    const view = this.#options.registryFor(profile);
    this.#views.set(key, view);
    return view;
  }
}

export function createSiteAdmission(options: SiteAdmissionOptions): AdmissionController {
  return new SiteAdmission(options);
}
