import { printable, wrap } from '../../../lib/text.ts';
import { type Colour, columnsOf, painted } from '../../output.ts';
import type { Status } from './document.ts';

const WIDTH_MAX = 120;
const INDENT = '    ';

const VERDICT_COLOURS: Readonly<Record<Status['decisions'][number]['verdict'], Colour>> = {
  fitted: 'green',
  unchanged: 'dim',
  generic: 'yellow',
  refused: 'red',
  failed: 'red',
};

export interface RenderOptions {
  /** Number of pulls to show. */
  readonly last: number;
  readonly nowMs: number;
  /** Returns the command that configures a runtime. */
  readonly setup: (runtime: string) => string;
}

const good = (text: string) => `${painted('✓', 'green')} ${printable(text)}`;
const doubtful = (text: string) => `${painted('!', 'yellow')} ${printable(text)}`;
const bad = (text: string) => `${painted('✗', 'red')} ${printable(text)}`;

/** Formats a time: `12 s ago`, `3 h ago`. */
function agoText(time: string, nowMs: number): string {
  const seconds = Math.max(0, Math.floor((nowMs - Date.parse(time)) / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} days ago`;
}

function indented(text: string, colour?: Colour): readonly string[] {
  const width = Math.min(columnsOf(process.stdout), WIDTH_MAX) - INDENT.length;
  const lines = wrap(printable(text), width);
  return lines.map((line) => INDENT + (colour === undefined ? line : painted(line, colour)));
}

function mirrorLines({ url, version, startedAt, hostName, notReady, warnings }: Status, nowMs: number) {
  const who = `MetaHub ${version} at ${url}${hostName === undefined ? '' : ` on ${hostName}`}`;
  const since = `started ${agoText(startedAt, nowMs)}`;
  const first =
    notReady === undefined
      ? good(`${who}: ready, ${since}`)
      : bad(`${who}: not ready, ${notReady}; ${since}`);
  return [first, ...warnings.flatMap((warning) => indented(warning, 'yellow'))];
}

function hostLines({ profile, url, sitePath }: Status): readonly string[] {
  if (profile === undefined) {
    const pages = sitePath === undefined ? '' : ` Accounts see more at ${printable(`${url}${sitePath}`)}`;
    return [`Each login brings its own machine type.${pages}`];
  }
  const { platform, cpu, gpus, features, warnings } = profile;
  const level = platform.variant === undefined ? '' : `/${platform.variant}`;
  const names = gpus.map(({ name, vendor }) => name ?? vendor);
  const what = [`${platform.os}/${platform.architecture}${level}`, cpu.microarchitecture, ...names];
  return [
    `This host: ${printable(what.join(', '))}`,
    ...indented(features.join(' '), 'dim'),
    ...warnings.flatMap((warning) => indented(warning, 'yellow')),
  ];
}

function runtimeLines({ installed, startedAt }: Status, { nowMs, setup }: RenderOptions): readonly string[] {
  if (installed.length === 0) return ['No container runtime is installed here.'];
  const sinceStart = `nothing since the mirror started ${agoText(startedAt, nowMs)}`;
  return installed.map(({ runtime, configured, lastSuccess }) => {
    const name = `${runtime}:`.padEnd(12);
    const came = lastSuccess === null ? sinceStart : `last pull ${agoText(lastSuccess, nowMs)}`;
    if (configured === null) return doubtful(`${name}its configuration cannot be read, ${came}`);
    if (!configured) return bad(`${name}not configured (${setup(runtime)}), ${came}`);
    return lastSuccess === null ? doubtful(`${name}configured, ${came}`) : good(`${name}configured, ${came}`);
  });
}

function pullLines({ decisions, pulls }: Status, { last, nowMs }: RenderOptions): readonly string[] {
  const counts = Object.entries(pulls ?? {}).map(([verdict, count]) => `${count} ${verdict}`);
  const total = Object.values(pulls ?? {}).reduce((sum, count) => sum + count, 0);
  const shown = decisions.slice(0, last).flatMap(({ at, image, verdict, digest, entry, reason, notes }) => {
    const served = [entry ?? '', digest.slice(0, 19)].filter((part) => part !== '').join(', ');
    return [
      `${painted(verdict.padEnd(9), VERDICT_COLOURS[verdict])} ${printable(image)}, ${agoText(at, nowMs)}`,
      ...(served === '' ? [] : indented(served)),
      ...indented(reason, verdict === 'refused' || verdict === 'failed' ? 'red' : 'dim'),
      ...notes.flatMap((note) => indented(note, 'yellow')),
    ];
  });
  return [`Tags answered: ${total}${total === 0 ? '' : ` (${counts.join(', ')})`}`, ...shown];
}

function cacheLines({ cache }: Status): readonly string[] {
  if (cache === undefined) return [];
  const { usedBytes, limitBytes, trouble, results } = cache;
  const counts = Object.entries(results).map(([result, count]) => `${count} ${printable(result)}`);
  const exact = (bytes: number) => bytes.toLocaleString('en');
  return [
    `Cache: ${exact(usedBytes)} of ${exact(limitBytes)} bytes; ${counts.join(', ')}`,
    ...(trouble === undefined ? [] : [bad(`nothing new is stored: ${trouble}`)]),
  ];
}

function registryLines({ registries }: Status): readonly string[] {
  if (registries === undefined) return [];
  if (registries.length === 0) return ['Registries: none used yet'];
  return registries.flatMap(({ registry, requests, failures, failing, meanMs }) => {
    const line = `${registry}: ${requests} requested, ${failures} failed, ${Math.round(meanMs)} ms`;
    if (failing !== undefined) return [bad(line), ...indented(failing, 'red')];
    return failures > 0 ? [doubtful(line)] : [good(line)];
  });
}

function settingLines({ figures, reload }: Status, nowMs: number): readonly string[] {
  const shown = figures.map(([name, value]) => `${name}: ${value}`).join('; ');
  if (reload === undefined) return [printable(`Settings: ${shown}; not reloaded since the start`)];
  const when = agoText(reload.at, nowMs);
  return reload.refused === undefined
    ? [printable(`Settings: ${shown}; reloaded ${when}`)]
    : [printable(`Settings: ${shown}`), bad(`the reload ${when} was refused: ${reload.refused}`)];
}

/** Formats the state of a mirror for people, with its most recent answers in the middle. */
export function renderStatus(status: Status, options: RenderOptions): string {
  const blocks = [
    mirrorLines(status, options.nowMs),
    hostLines(status),
    runtimeLines(status, options),
    pullLines(status, options),
    [...cacheLines(status), ...registryLines(status), ...settingLines(status, options.nowMs)],
  ];
  return `${blocks.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}
