import { tagDecisionOf } from '../../src/cli/serve/decision-log.ts';
import { tailored } from '../../src/mirror/tailored.ts';
import type { PushForwarder } from '../../src/oci/push.ts';
import type { Registry } from '../../src/oci/registry.ts';
import { DEFAULT_POLICY } from '../../src/selection/policy.ts';
import type { SiteOptions } from '../../src/site/site.ts';
import { openStore } from '../../src/store/store.ts';
import { createFakeRegistry } from './fake-registry.ts';
import { temporaryFolder } from './folder.ts';
import { serve } from './served.ts';
import { basic, machineFolder, openTestSite } from './site.ts';
import { closing } from './upstream.ts';

/** A request to a site. */
export interface SiteAsk {
  readonly method?: string;
  /** The user name, whose password is the same; or a complete header. */
  readonly as?: string | undefined;
  readonly json?: unknown;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

interface AnswerDocument {
  readonly account: string;
  readonly login: string;
  readonly image: string;
  readonly verdict: string;
  readonly entry: string | null;
  readonly digest: string | null;
  readonly reason: string;
  readonly answers: number;
}

/** The members of the API's documents that tests read. */
export interface ApiDocument {
  readonly accounts: readonly { readonly user: string }[];
  readonly types: readonly { readonly name: string }[];
  readonly token: string;
  /** The scope of a token; absent when it grants nothing. */
  readonly scope?: string;
  readonly challenge: string;
  readonly login: string;
  readonly code: string;
  readonly errors: readonly { readonly pointer: string; readonly code: string }[];
  readonly openapi: string;
  readonly images: readonly AnswerDocument[];
  readonly decisions: readonly AnswerDocument[];
  readonly hosts: readonly { readonly login: string; readonly address: string }[];
  readonly gaps: readonly { readonly image: string }[];
}

export interface SiteAnswer extends Omit<Response, 'json'> {
  json(): Promise<ApiDocument>;
}

export interface ServedSiteOptions extends Partial<SiteOptions> {
  /** Handles admitted writes; undefined: the site accepts no writes. */
  readonly push?: PushForwarder | undefined;
}

/** Serves a site with these machine files over HTTP. */
export async function serveSite(
  files: Readonly<Record<string, string>>,
  { push, ...options }: ServedSiteOptions = {},
) {
  const machines = await machineFolder(files);
  const site = await openTestSite({ machines, ...options });
  const { port } = await serve({ gate: site.gate, handlers: site.handlers, hasLogins: true, push });
  const url = `http://127.0.0.1:${port}`;
  const ask = (
    path: string,
    { method = 'GET', as, json, body, headers = {} }: SiteAsk = {},
  ): Promise<SiteAnswer> =>
    fetch(`${url}${path}`, {
      method,
      redirect: 'manual',
      headers: {
        ...(as === undefined ? {} : { authorization: as.includes(' ') ? as : basic(as, as) }),
        ...(json === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(json === undefined ? (body === undefined ? {} : { body }) : { body: JSON.stringify(json) }),
    }) as Promise<SiteAnswer>;
  return { ...site, machines, url, port, ask };
}

/** A site with a store and a registry in memory, whose decisions are recorded like a mirror's. */
export async function serveWholeSite(
  files: Readonly<Record<string, string>>,
  options: ServedSiteOptions = {},
) {
  const upstream = createFakeRegistry();
  const directory = temporaryFolder();
  const store = closing(await openStore({ directory, maxBytes: 1e9, log: () => {}, now: Date.now }));
  // As a cache may allow: the same request may be answered again for a minute.
  const next: Registry = {
    ...upstream,
    manifest: async (...asked) => ({ ...(await upstream.manifest(...asked)), maxAgeMs: 60_000 }),
  };
  const site = await serveSite(files, {
    registryFor: (profile) =>
      tailored({
        next,
        profile,
        policyFor: () => DEFAULT_POLICY,
        derived: store.derived,
        decided: (decision) =>
          site.noteDecision(decision.profile, decision.repository, decision.tag, tagDecisionOf(decision)),
        now: () => 0,
      }),
    ...options,
  });
  const pull = (name: string, as: string, headers: SiteAsk['headers'] = {}) =>
    site.ask(`/v2/${name.replace(':', '/manifests/')}`, { as, headers });
  return { ...site, upstream, pull };
}
