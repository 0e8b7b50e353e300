/** Readers of single values, each from a string (flag, variable) or a YAML scalar; they throw what was expected. */

/** Where to listen: `127.0.0.1:5080`, `[::1]:5080`, `:5080` (loopback), `5080`. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** A value as a message shows it, also one that is no scalar. */
function shown(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? 'nothing');
}

export function readText(value: unknown): string {
  if (typeof value !== 'string' || value === '') throw new Error('a text is expected');
  return value;
}

/** A list of texts; a single one is a list of one. */
export function readTexts(value: unknown): readonly string[] {
  if (typeof value === 'string') return [readText(value)];
  if (!Array.isArray(value)) throw new Error('a list of texts is expected');
  return value.map(readText);
}

/** See {@link ListenAddress} for what may be written. */
export function readListen(value: unknown): ListenAddress {
  const match = /^(?:(?<host>\[[0-9a-fA-F:.]+\]|[^:[\]]*):)?(?<port>\d{1,5})$/.exec(shown(value));
  const port = Number(match?.groups?.['port']);
  if (!match || !(port <= 65_535))
    throw new Error(`“${shown(value)}” is no HOST:PORT, such as 127.0.0.1:5080`);
  const host = (match.groups?.['host'] ?? '').replaceAll(/[[\]]/g, '');
  return { host: host === '' ? '127.0.0.1' : host, port };
}

/** As it stands in a URL: IPv6 in brackets. */
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

/** Bytes, from `50GiB`, `500M`, `1048576`. */
export function readSizeBytes(value: unknown): number {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?$/i.exec(shown(value));
  const unit = SIZE_UNITS[(match?.[2] ?? '').toLowerCase()];
  if (!match || unit === undefined)
    throw new Error(`“${shown(value)}” is no size: write 50GiB, 500M or a number of bytes`);
  return Math.floor(Number(match[1]) * unit);
}

const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** Milliseconds, from `30s`, `5m`, `250ms`, `0`. */
export function readDurationMs(value: unknown): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(shown(value));
  const unit = DURATION_UNITS[match?.[2] ?? ''];
  if (value === 0 || value === '0') return 0;
  if (!match || unit === undefined)
    throw new Error(`“${shown(value)}” is no duration: write 30s, 5m, 24h or 30d`);
  return Number(match[1]) * unit;
}

/** `5s`, in the greatest unit that divides it. */
export function formatDuration(milliseconds: number): string {
  const fitting = Object.entries(DURATION_UNITS).filter(([, unit]) => milliseconds % unit === 0);
  const [name = 'ms', unit = 1] = fitting.at(-1) ?? [];
  return milliseconds === 0 ? '0' : `${milliseconds / unit}${name}`;
}

/** `50GiB`, in the greatest binary unit that divides it. */
export function formatSize(bytes: number): string {
  const unit = ['TiB', 'GiB', 'MiB', 'KiB'].find((name) => bytes % (SIZE_UNITS[unitKey(name)] ?? 1) === 0);
  return unit === undefined || bytes === 0
    ? String(bytes)
    : `${bytes / (SIZE_UNITS[unitKey(unit)] ?? 1)}${unit}`;
}

function unitKey(name: string): string {
  return name.slice(0, -1).toLowerCase();
}

export function formatSwitch(value: boolean): string {
  return value ? 'on' : 'off';
}

/** `on`, `true`, `yes` and `1`, or their opposites. */
export function readSwitch(value: unknown): boolean {
  if (value === true || value === 'true' || value === 'on' || value === 'yes' || value === '1') return true;
  if (value === false || value === 'false' || value === 'off' || value === 'no' || value === '0')
    return false;
  throw new Error(`“${shown(value)}” is neither on nor off`);
}

/** A size, or `auto`: by the file system. */
export function readCacheSize(value: unknown): number | undefined {
  return value === 'auto' ? undefined : readSizeBytes(value);
}

export function formatCacheSize(sizeBytes: number | undefined): string {
  return sizeBytes === undefined ? 'auto' : formatSize(sizeBytes);
}

/** What is kept of what was pulled. */
export type CacheMode = 'on' | 'transit' | 'off';

/** `transit`, or a switch. */
export function readCacheMode(value: unknown): CacheMode {
  if (value === 'transit') return 'transit';
  try {
    return readSwitch(value) ? 'on' : 'off';
  } catch {
    throw new Error(`“${shown(value)}” is none of on, off and transit`);
  }
}

/** Below 100: `15`, `15%`. */
export function readPercent(value: unknown): number {
  const written = typeof value === 'string' ? value.replace(/%$/, '').trim() : value;
  const percent = written === '' ? Number.NaN : Number(written);
  if (percent >= 0 && percent < 100) return percent;
  throw new Error(`“${shown(value)}” is no percentage below 100`);
}

const CONNECTIONS_MAX = 32;

/** A number of connections from 1 to 32; `off` is 1. */
export function readConnections(value: unknown): number {
  if (value === 'off' || value === false) return 1;
  const count = Number(value);
  if (!Number.isInteger(count) || count < 1 || count > CONNECTIONS_MAX) {
    throw new Error(`“${shown(value)}” is neither off nor a number from 1 to ${CONNECTIONS_MAX}`);
  }
  return count;
}

/** `https://hub.example.org`: a URL of nothing but an origin. */
export function readSiteUrl(value: unknown): string {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.href !== `${url.origin}/`) {
    throw new Error(`“${shown(value)}” is no https://HOST[:PORT]`);
  }
  return url.origin;
}

/** One of `words`. */
export function oneOf<const Word extends string>(...words: readonly Word[]): (value: unknown) => Word {
  return (value) => {
    const word = words.find((candidate) => candidate === value);
    if (word === undefined) throw new Error(`“${shown(value)}” is none of ${words.join(', ')}`);
    return word;
  };
}
