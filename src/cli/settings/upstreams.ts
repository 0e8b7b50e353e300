import * as v from 'valibot';
import {
  checking,
  choice,
  combining,
  fields,
  mapOf,
  oneOrMore,
  type Refuse,
  reading,
  shown,
  Text,
} from '../../lib/schema.ts';
import { parseSourceHost, type SourceHost } from '../../oci/reference.ts';
import {
  apiRootOf,
  defaultUpstream,
  type EndpointSettings,
  namedUpstream,
  type UpstreamSettings,
  upstreamAt,
} from '../../upstream/settings.ts';

/** The source hosts that may be used, each with its settings. */
export type Upstreams = ReadonlyMap<SourceHost, UpstreamSettings>;

/** Public registries that a mirror may use without configuration. Other hosts need a setting. */
const PUBLIC_HOSTS = [
  'docker.io',
  'ghcr.io',
  'quay.io',
  'gcr.io',
  'nvcr.io',
  'registry.k8s.io',
  'mcr.microsoft.com',
  'public.ecr.aws',
] as const;

const noHost = (text: string) => `${shown(text)} is not a registry host`;

function publicHosts(): readonly SourceHost[] {
  return PUBLIC_HOSTS.map(parseSourceHost).filter((host) => host !== undefined);
}

/** Returns the allowed source hosts: named upstreams, and the public registries unless they are switched off. */
export function allowedUpstreams(settings: {
  readonly upstream: Upstreams;
  readonly publicRegistries: boolean;
}): Upstreams {
  const open = settings.publicRegistries ? publicHosts() : [];
  return new Map([...open.map((host) => [host, defaultUpstream(host)] as const), ...settings.upstream]);
}

function problemWithUrl(url: string): string | undefined {
  try {
    apiRootOf(url);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

type Named = readonly [SourceHost, UpstreamSettings];

/** Parses `NAME=URL`, or a `NAME` alone for a registry whose name is its address. */
function readPair(text: string, refuse: Refuse): Named | undefined {
  const equals = text.indexOf('=');
  const [name, url] = equals < 0 ? [text] : [text.slice(0, equals), text.slice(equals + 1)];
  const host = parseSourceHost(name);
  const problem = host === undefined ? noHost(name) : url === undefined ? undefined : problemWithUrl(url);
  if (problem !== undefined) refuse(problem);
  return host && [host, url === undefined ? namedUpstream(host) : upstreamAt(url)];
}

/** Groups endpoints by name: a repeated name adds the next endpoint of its failover. */
function chained(pairs: readonly (Named | undefined)[]): Upstreams {
  const upstreams = new Map<SourceHost, UpstreamSettings>();
  for (const [host, settings] of pairs.filter((pair) => pair !== undefined)) {
    const known = upstreams.get(host);
    upstreams.set(
      host,
      known ? { ...known, endpoints: [...known.endpoints, ...settings.endpoints] } : settings,
    );
  }
  return upstreams;
}

const Pairs = v.pipe(oneOrMore(v.pipe(Text, combining(readPair))), v.transform(chained));

const Url = v.pipe(Text, checking(problemWithUrl), v.examples(['https://registry.example']));

const Tls = v.pipe(
  fields({
    ca: v.optional(Text),
    cert: v.optional(Text),
    key: v.optional(Text),
    skipVerify: v.optional(v.boolean()),
  }),
  checking(({ key, cert }) =>
    key !== undefined && cert === undefined ? 'there is a key without its cert' : undefined,
  ),
  v.transform(({ ca, cert, key, skipVerify }) => ({ caFile: ca, certFile: cert, keyFile: key, skipVerify })),
);

const UrlAlone = v.pipe(
  Url,
  v.transform((url): EndpointSettings => ({ url, anyAddress: true })),
);

const Endpoint = v.union([
  UrlAlone,
  v.pipe(
    fields({
      url: Url,
      ns: v.optional(v.boolean()),
      passThrough: v.optional(v.boolean()),
      trustedHosts: v.optional(oneOrMore(v.string())),
      tls: v.optional(Tls),
      anyAddress: v.optional(v.boolean()),
    }),
    v.transform((written): EndpointSettings => ({ anyAddress: true, ...written })),
  ),
]);

type Chain = UpstreamSettings['endpoints'];

/** Endpoints in the order in which they are tried; at least one. */
const Endpoints = v.pipe(v.array(Endpoint), v.nonEmpty('an endpoint is expected'));

function chainOf(endpoints: EndpointSettings | readonly EndpointSettings[]): Chain {
  const [first, ...others] = [endpoints].flat();
  // The schema has refused an empty list.
  return [first as EndpointSettings, ...others];
}

const Upstream = v.union([
  v.pipe(
    v.union([UrlAlone, Endpoints]),
    v.transform((read): UpstreamSettings => ({ endpoints: chainOf(read) })),
  ),
  v.pipe(
    fields({
      endpoints: v.union([Endpoint, Endpoints]),
      blobs: v.optional(choice('stream', 'redirect')),
    }),
    v.transform(
      ({ endpoints, ...others }): UpstreamSettings => ({ endpoints: chainOf(endpoints), ...others }),
    ),
  ),
]);

const Host = v.pipe(v.string(), reading(parseSourceHost, noHost));

/**
 * Upstreams from flags and variables (`NAME=URL`, repeated for failover), or from the file: a map of host to
 * URL, list of URLs, or `{endpoints: [{url, ns, tls, trustedHosts, passThrough}], blobs}`.
 */
export const UpstreamsValue: v.GenericSchema<unknown, Upstreams> = v.union([Pairs, mapOf(Host, Upstream)]);

/** True when a client's own login is presented to this upstream. */
export function passesOn(settings: UpstreamSettings | undefined): boolean {
  return settings?.endpoints.some(({ passThrough }) => passThrough === true) === true;
}
