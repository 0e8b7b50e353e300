import * as v from 'valibot';
import { addressMatcher } from '../../lib/address.ts';
import { DURATION, parseDuration } from '../../lib/duration.ts';
import { checking, reading, shown, Text } from '../../lib/schema.ts';
import { containsLogin } from '../../lib/url.ts';

/** Schemas of single values. Each parses a text (flag, variable) or a scalar of YAML. */

/** Where to listen: `127.0.0.1:5080`, `[::1]:5080`, `:5080` (loopback), `5080`. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** A text of this form, or a number, because YAML reads a text without a unit as a number. */
function scalar(form: RegExp, refuse: (value: unknown) => string) {
  return v.union([
    v.pipe(
      v.string(),
      v.regex(form, ({ input }) => refuse(input)),
    ),
    v.pipe(
      v.number(),
      v.minValue(0, ({ input }) => refuse(input)),
    ),
  ]);
}

/** A list of texts. A single text is a list of one. */
export const TextList = v.pipe(
  v.union([Text, v.array(Text)]),
  v.transform((read): readonly string[] => (typeof read === 'string' ? [read] : read)),
);

function problemWithProxies(proxies: readonly string[]): string | undefined {
  try {
    addressMatcher(proxies);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Addresses and subnets. */
export const Proxies = v.pipe(TextList, checking(problemWithProxies));

const LISTEN = /^(?:(?<host>\[[0-9a-fA-F:.]+\]|[^:[\]]*):)?(?<port>\d{1,5})$/;

function parseListen(value: string | number): ListenAddress | undefined {
  const match = LISTEN.exec(String(value));
  const port = Number(match?.groups?.['port']);
  if (!match || !(port <= 65_535)) return undefined;
  const host = (match.groups?.['host'] ?? '').replaceAll(/[[\]]/g, '');
  return { host: host === '' ? '127.0.0.1' : host, port };
}

const noListen = (value: unknown) => `${shown(value)} is not a HOST:PORT, such as 127.0.0.1:5080`;

/** See {@link ListenAddress} for the accepted forms. */
export const Listen = v.pipe(
  scalar(LISTEN, noListen),
  v.examples(['127.0.0.1:5080']),
  reading(parseListen, noListen),
);

/** Formats the address as in a URL, with IPv6 in brackets. */
export function formatListen({ host, port }: ListenAddress): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

const SIZE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
  ti: 2 ** 40,
};

const SIZE = /^(\d+(?:\.\d+)?)\s*([KMGTkmgt][Ii]?)?[Bb]?$/;
const noSize = (value: unknown) => `${shown(value)} is not a size: write 50GiB, 500M or a number of bytes`;

function parseSize(value: string | number): number | undefined {
  const match = SIZE.exec(String(value));
  const unit = SIZE_UNITS[(match?.[2] ?? '').toLowerCase()];
  return match && unit !== undefined ? Math.floor(Number(match[1]) * unit) : undefined;
}

/** Bytes: `50GiB`, `500M`, `1048576`. */
export const SizeBytes = v.pipe(
  scalar(SIZE, noSize),
  v.examples(['50GiB', '500M', 1048576]),
  reading(parseSize, noSize),
);

const noDuration = (value: unknown) => `${shown(value)} is not a duration: write 30s, 5m, 24h or 30d`;

/** Milliseconds: `30s`, `5m`, `250ms`, `0`. */
export const DurationMs = v.pipe(
  v.union([
    v.pipe(
      v.string(),
      v.regex(DURATION, ({ input }) => noDuration(input)),
    ),
    v.pipe(
      v.number(),
      v.value(0, ({ input }) => noDuration(input)),
    ),
  ]),
  v.examples(['30s', '5m', '24h', 0]),
  reading((value: string | number) => parseDuration(String(value)), noDuration),
);

/** Formats a size in the greatest binary unit that divides it: `50GiB`. */
function formatSize(bytes: number): string {
  const unit = ['TiB', 'GiB', 'MiB', 'KiB'].find((name) => bytes % (SIZE_UNITS[unitKey(name)] ?? 1) === 0);
  return unit === undefined || bytes === 0
    ? String(bytes)
    : `${bytes / (SIZE_UNITS[unitKey(unit)] ?? 1)}${unit}`;
}

function unitKey(name: string): string {
  return name.slice(0, -1).toLowerCase();
}

const ON = ['on', 'true', 'yes', '1'] as const;
const OFF = ['off', 'false', 'no', '0'] as const;

function isOn(written: boolean | string): boolean {
  return written === true || (ON as readonly unknown[]).includes(written);
}

function wordOrBoolean<const Words extends readonly string[]>(words: Words, refused: string) {
  return v.union([v.boolean(), v.picklist(words, ({ input }) => `${shown(input)} is ${refused}`)]);
}

/** `on`, `true`, `yes` and `1`, or their opposites. */
export const Switch = v.pipe(
  wordOrBoolean([...ON, ...OFF], 'neither on nor off'),
  v.transform((written) => isOn(written)),
);

export function formatSwitch(value: boolean): string {
  return value ? 'on' : 'off';
}

/** A size; undefined for `auto`: the file system decides. */
export const CacheSize = v.pipe(
  v.union([v.literal('auto'), SizeBytes]),
  v.transform((read) => (read === 'auto' ? undefined : read)),
);

/** Formats the cache size for the configuration file. */
export function formatCacheSize(sizeBytes: number | undefined): string {
  return sizeBytes === undefined ? 'auto' : formatSize(sizeBytes);
}

/** Which of the pulled content is stored. */
export type CacheMode = 'on' | 'transit' | 'off';

/** `transit`, or a switch. */
export const CacheModeValue = v.pipe(
  wordOrBoolean([...ON, ...OFF, 'transit'], 'none of on, off and transit'),
  v.transform((written): CacheMode => (written === 'transit' ? written : isOn(written) ? 'on' : 'off')),
);

const PERCENT = /^\d{1,2}(?:\.\d+)?\s*%?$/;
const noPercent = (value: unknown) => `${shown(value)} is not a percentage below 100`;

/** A number below 100: `15`, `15%`. */
export const Percent = v.pipe(
  scalar(PERCENT, noPercent),
  v.examples([15, '15%']),
  v.transform((written) => Number.parseFloat(String(written))),
  v.ltValue(100, ({ input }) => noPercent(input)),
);

const CONNECTIONS_MAX = 32;
const noConnections = (value: unknown) =>
  `${shown(value)} is neither off nor a number from 1 to ${CONNECTIONS_MAX}`;

function parseConnections(value: string | number | boolean): number | undefined {
  if (value === 'off' || value === false) return 1;
  const count = value === true ? Number.NaN : Number(value);
  return Number.isInteger(count) && count >= 1 && count <= CONNECTIONS_MAX ? count : undefined;
}

/** A number of connections from 1 to 32; `off` is 1. */
export const Connections = v.pipe(
  v.union([scalar(/^(?:off|\d{1,2})$/, noConnections), v.boolean()]),
  v.examples([8, 'off']),
  reading(parseConnections, noConnections),
);

function parseSiteUrl(value: string): string | undefined {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  const isOrigin = url !== undefined && /^https?:$/.test(url.protocol) && url.href === `${url.origin}/`;
  return isOrigin ? url.origin : undefined;
}

/** A URL with an origin only: `https://hub.example.org`. */
export const SiteUrl = v.pipe(
  v.string(),
  v.examples(['https://hub.example.org']),
  reading(parseSiteUrl, (value) => `${shown(value)} is not an https://HOST[:PORT]`),
);

function parseWebhookUrl(value: string): string | undefined {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  const isPlain = url !== undefined && /^https?:$/.test(url.protocol) && url.hash === '';
  return isPlain && !containsLogin(url) ? url.href : undefined;
}

/** A URL without user and password: `https://ci.example.org/hooks/metahub`. */
export const WebhookUrl = v.pipe(
  v.string(),
  v.examples(['https://ci.example.org/hooks/metahub']),
  reading(parseWebhookUrl, () => 'an http(s) URL without a login is expected'),
);
