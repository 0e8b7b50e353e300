import type { HostProfile } from '../host/profile.ts';
import { formatPlatform } from '../oci/manifest.ts';

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => ESCAPES[character] ?? character);
}

const STYLE = `
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8884; }
code { font-size: .9em; overflow-wrap: anywhere; }
.bad { color: #c33; }`;

function rows(pairs: readonly (readonly [string, string])[]): string {
  return pairs
    .map(([name, value]) => `<tr><th>${escapeHtml(name)}</th><td>${escapeHtml(value)}</td></tr>`)
    .join('\n');
}

function describeHost(profile: HostProfile | undefined): string {
  if (profile === undefined) return '<p>Each login brings its own machine type.</p>';
  const gpus = profile.gpus.map(({ name, vendor }) => name ?? vendor).join(', ');
  return `<table>${rows([
    ['platform', formatPlatform(profile.platform)],
    ['microarchitecture', profile.cpu.microarchitecture],
    ...(gpus === '' ? [] : [['GPUs', gpus] as const]),
    ['features', profile.features.join(' ')],
    ...profile.warnings.map((warning) => ['warning', warning] as const),
  ])}</table>`;
}

function describeDecision({ at, image, entry, digest, reason, notes = [], who }: RecentDecision): string {
  const cells = [
    `<time>${at.toISOString().slice(0, 19).replace('T', ' ')}</time>`,
    `<code>${escapeHtml(image)}</code>${who === undefined ? '' : `<br>${escapeHtml(who)}`}`,
    `${escapeHtml(entry ?? 'as it is')}<br><code>${escapeHtml(digest.slice(0, 19))}</code>`,
    [escapeHtml(reason), ...notes.map((note) => `<strong class="bad">${escapeHtml(note)}</strong>`)].join(
      '<br>',
    ),
  ];
  return `<tr>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`;
}

function describeDecisions(decisions: readonly RecentDecision[]): string {
  if (decisions.length === 0) {
    return '<p>None yet. If an image was pulled nevertheless, its runtime does not ask this mirror: the README tells how to point it here.</p>';
  }
  const head = ['time (UTC)', 'image', 'entry', 'why'].map((name) => `<th>${name}</th>`).join('');
  return `<table><tr>${head}</tr>\n${decisions.map(describeDecision).join('\n')}</table>`;
}

/** The status page: what this host is, how it has been going, and which entry each pull got and why. */
export function renderStatusPage(facts: StatusFacts): string {
  const { version, startedAt, notReady, profile, decisions, figures } = facts;
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>MetaHub</title>
<style>${STYLE}</style>
<h1>MetaHub ${escapeHtml(version)}</h1>
${notReady === undefined ? '' : `<p class="bad">Not ready: ${escapeHtml(notReady)}</p>`}
<h2>This host</h2>
${describeHost(profile)}
<h2>Since ${startedAt.toISOString().slice(0, 16).replace('T', ' ')} UTC</h2>
<table>${rows(figures)}</table>
<h2>Recent pulls</h2>
${describeDecisions(decisions)}
</html>
`;
}

/** One answer to a tag, as the status page shows it. */
export interface RecentDecision {
  readonly at: Date;
  /** `docker.io/library/alpine:latest`. */
  readonly image: string;
  /** What was served: its digest, and what the chosen entry demands (`cpu:broadwell`) when one was chosen. */
  readonly digest: string;
  readonly entry?: string | undefined;
  readonly reason: string;
  /** What its reader should know although nothing failed. */
  readonly notes?: readonly string[];
  /** Whose request it was, where there are logins. */
  readonly who?: string | undefined;
}

/** What the status pages tell; gathered anew for each of them. */
export interface StatusFacts {
  readonly version: string;
  readonly startedAt: Date;
  /** Why nothing can be served now; undefined when all is well. */
  readonly notReady?: string | undefined;
  /** This host; undefined where each login brings its own machine type. */
  readonly profile?: HostProfile | undefined;
  /** Latest first. */
  readonly decisions: readonly RecentDecision[];
  /** Lines of "name: value" for people: `cache hits`, `93 % of 1,204`. */
  readonly figures: readonly (readonly [name: string, value: string])[];
  /** The tags by which clients tested lately whether they use this mirror: `metahub doctor` looks for its own. */
  readonly connectionTests?: readonly string[];
}
