import { createHash } from 'node:crypto';
import { allNodes, ancestorSet, findNode } from '../host/microarchitectures.ts';
import type { HostProfile } from '../host/profile.ts';
import { Html, html } from '../lib/html.ts';
import { PAGE_STYLE } from '../lib/page-style.ts';
import { sizeText } from '../lib/text.ts';
import { formatPlatform } from '../oci/manifest.ts';
import {
  type CacheUse,
  type PageFacts,
  PULL_VERDICTS,
  type PullVerdict,
  type RecentDecision,
  type RegistryHealth,
} from './status-facts.ts';

/** The style of the status page, added to that of all pages. */
const STATUS_STYLE = `${PAGE_STYLE}
meter { width: 100%; height: .8rem; }
.tree { display: flex; flex-wrap: wrap; gap: .5rem .35rem; list-style: none; margin: .25rem 0; padding: 0; }
.tree > li { display: flex; flex-wrap: wrap; gap: .35rem; align-items: center; min-width: 0; }
.tree > li + li::before { content: "\\2192"; color: var(--dim); }
.node { border: 1px solid var(--line); border-radius: .4rem; padding: .05rem .5rem; font-size: .9em; }
.node.host { background: light-dark(#1f5fc4, #8ab4f8); color: light-dark(#ffffff, #10141a); font-weight: 600; }
.node.beyond { border-style: dashed; color: var(--dim); }`;

/** Reloads the page's content every five seconds, unless an input has the focus. Without scripts the page is static. */
const STATUS_SCRIPT = `
setInterval(async () => {
  if (document.hidden || document.activeElement instanceof HTMLInputElement) return;
  try {
    const answer = await fetch(location.href, { cache: 'no-store' });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    document.querySelector('main').replaceWith(page.querySelector('main'));
  } catch { /* The mirror restarts: the next look finds it. */ }
}, 5000);`;

/** A microarchitecture in a host's family tree. */
export interface TreeNode {
  readonly name: string;
  /** `host`: the host's own; `runs`: its code runs on the host; `beyond`: its code does not. */
  readonly role: 'host' | 'runs' | 'beyond';
}

/** The length of the longest path from a root of the tree. */
function generationOf(name: string): number {
  const parents = findNode(name)?.parents ?? [];
  return parents.length === 0 ? 0 : 1 + Math.max(...parents.map(generationOf));
}

/** The host, its ancestors and its children, by generation from the root. Empty for an unknown name. */
function familyTree(host: string): readonly (readonly TreeNode[])[] {
  if (findNode(host) === undefined) return [];
  const generations: TreeNode[][] = [];
  for (const name of [...ancestorSet(host), host]) {
    const generation = generationOf(name);
    generations[generation] ??= [];
    generations[generation].push({ name, role: name === host ? 'host' : 'runs' });
  }
  const children = [...allNodes()].filter(({ parents }) => parents.includes(host));
  if (children.length > 0) generations.push(children.map(({ name }) => ({ name, role: 'beyond' })));
  return generations.filter((generation) => generation !== undefined);
}

/** Which recent pulls to show. */
export interface PullFilter {
  readonly image: string;
  readonly verdict: PullVerdict | undefined;
}

/** Reads the filter from the page's query. Unknown values are ignored. */
export function pullFilterIn(query: URLSearchParams): PullFilter {
  const verdict = PULL_VERDICTS.find((one) => one === query.get('verdict'));
  return { image: query.get('image')?.trim().slice(0, 200) ?? '', verdict };
}

/** The hash of the page's only script, for the Content-Security-Policy. */
export function statusScriptHash(): string {
  return `sha256-${createHash('sha256').update(STATUS_SCRIPT).digest('base64')}`;
}

const TONES: Readonly<Record<PullVerdict, string>> = {
  fitted: 'ok',
  unchanged: 'dim',
  generic: 'warn',
  refused: 'bad',
  failed: 'bad',
};

function utc(date: Date): string {
  return `${date.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

function card(width: string, title: string, body: Html | readonly Html[]): Html {
  return html`<section class="card ${width}"><h2>${title}</h2>${body}</section>`;
}

function hostCard({ platform, cpu, gpus, features, warnings }: HostProfile): Html {
  const names = gpus.map(({ name, vendor }) => name ?? vendor).join(', ');
  return card('half', 'This host', [
    html`<p class="big">${cpu.microarchitecture}</p>`,
    html`<p class="dim">${formatPlatform(platform)} · ${cpu.vendor}</p>`,
    names === '' ? html`` : html`<p>${names}</p>`,
    html`<p><code>${features.join(' ')}</code></p>`,
    ...warnings.map((warning) => html`<p class="warn">⚠ ${warning}</p>`),
  ]);
}

function treeCard({ cpu }: HostProfile): Html {
  const generations = familyTree(cpu.microarchitecture);
  if (generations.length === 0)
    return card('half', 'Runs code for', html`<p>${cpu.compatible.join(' ')}</p>`);
  const items = generations.map(
    (nodes) =>
      html`<li>${nodes.map(({ name, role }) => html`<span class="node ${role}">${name}</span>`)}</li>`,
  );
  return card('half', 'Runs code for', [
    html`<ol class="tree">${items}</ol>`,
    html`<p class="dim">Filled: this host. Dashed: newer members of the family, whose code does not run here.</p>`,
  ]);
}

function pullsCard(pulls: Readonly<Record<PullVerdict, number>>): Html {
  const total = PULL_VERDICTS.reduce((sum, verdict) => sum + pulls[verdict], 0);
  const parts = PULL_VERDICTS.map(
    (verdict) => html`<span class="${TONES[verdict]}">${pulls[verdict]} ${verdict}</span> `,
  );
  return card('third', 'Tags answered', [html`<p class="big">${total}</p>`, html`<p>${parts}</p>`]);
}

function cacheCard({ usedBytes, limitBytes, trouble, results }: CacheUse): Html {
  const counted = Object.entries(results).filter(([, count]) => count > 0);
  return card('third', 'Cache', [
    html`<p class="big">${sizeText(usedBytes)}</p>`,
    html`<meter min="0" max="${limitBytes}" value="${usedBytes}" aria-label="Cache use"></meter>`,
    trouble === undefined ? html`` : html`<p class="bad">Nothing new is stored: ${trouble}.</p>`,
    html`<p class="dim">${usedBytes.toLocaleString('en')} of ${limitBytes.toLocaleString('en')} bytes</p>`,
    html`<p>${counted.map(([result, count]) => `${count} ${result}`).join(' · ') || 'no requests yet'}</p>`,
  ]);
}

function runtimesCard({ runtimes }: PageFacts): Html {
  const lines = runtimes.map(
    ({ runtime, lastSuccess }) =>
      html`<p><span class="ok">●</span> ${runtime} <span class="dim">${utc(lastSuccess)}</span></p>`,
  );
  const none = html`<p class="warn">No runtime has pulled through this mirror since it started.</p>`;
  return card('third', 'Runtimes, last pull', lines.length > 0 ? lines : none);
}

function registryLine({ registry, requests, failures, failing, meanMs }: RegistryHealth): Html {
  const tone = failing !== undefined ? 'bad' : failures > 0 ? 'warn' : 'ok';
  const figures = `${requests} requests, ${failures} failed, ${Math.round(meanMs)} ms`;
  return html`<p><span class="${tone}">●</span> ${registry} <span class="dim">${figures}</span></p>
${failing === undefined ? undefined : html`<p class="bad">${failing}</p>`}`;
}

function registriesCard(registries: readonly RegistryHealth[]): Html {
  const none = html`<p class="dim">None used yet.</p>`;
  return card('half', 'Registries', registries.length > 0 ? registries.map(registryLine) : none);
}

function figuresCard({ figures, reload }: PageFacts): Html {
  const lines = figures.map(([name, value]) => html`<tr><th>${name}</th><td>${value}</td></tr>`);
  const last =
    reload === undefined
      ? html`<span class="dim">none since the start</span>`
      : reload.refused === undefined
        ? html`<span class="ok">applied</span> ${utc(reload.at)}`
        : html`<span class="bad">refused</span> ${utc(reload.at)}: ${reload.refused}`;
  return card(
    'half',
    'Settings',
    html`<table><tbody>${lines}<tr><th>latest reload</th><td>${last}</td></tr></tbody></table>`,
  );
}

function decisionRow({ at, image, verdict, entry, digest, reason, notes = [] }: RecentDecision): Html {
  return html`<tr><td class="when dim"><time datetime="${at.toISOString()}">${utc(at)}</time></td>
<td><code>${image}</code></td>
<td class="answer"><span class="chip ${TONES[verdict]}">${verdict}</span> ${entry ?? ''}<br><code>${digest.slice(0, 19)}</code></td>
<td>${reason}${notes.map((note) => html`<p class="warn">${note}</p>`)}</td></tr>`;
}

const NONE_YET =
  'No tag was requested yet. If an image was pulled nevertheless, its runtime does not use this mirror: the README explains how to configure it.';

function pullsTable({ decisions }: PageFacts, filter: PullFilter): Html {
  const shown = decisions.filter(
    ({ image, verdict }) =>
      image.includes(filter.image) && (filter.verdict === undefined || verdict === filter.verdict),
  );
  const options = PULL_VERDICTS.map(
    (verdict) =>
      html`<option value="${verdict}"${new Html(verdict === filter.verdict ? ' selected' : '')}>${verdict}</option>`,
  );
  const form = html`<form method="get" action="/"><input name="image" value="${filter.image}" placeholder="image" aria-label="image">
<select name="verdict" aria-label="verdict"><option value="">all verdicts</option>${options}</select><button>Show</button></form>`;
  const head = html`<thead><tr><th>time</th><th>image</th><th>answer</th><th>why</th></tr></thead>`;
  const table =
    shown.length > 0
      ? html`<table>${head}<tbody>${shown.map(decisionRow)}</tbody></table>`
      : html`<p>${decisions.length === 0 ? NONE_YET : 'No recent pull fits the filter.'}</p>`;
  return card('whole', 'Recent pulls', [form, table]);
}

function alerts({ notReady, warnings = [] }: PageFacts): readonly Html[] {
  return [
    ...(notReady === undefined ? [] : [html`<p class="card whole alert bad">Not ready: ${notReady}</p>`]),
    ...warnings.map((warning) => html`<p class="card whole alert">${warning}</p>`),
  ];
}

/** The card of a site, with a link to its pages. */
function siteCard(sitePath: string): Html {
  return card(
    'whole',
    'Site',
    html`<p>Each login brings its own machine type. Accounts see the machine types, who pulled what and why on <a href="${sitePath}">the pages of the site</a>.</p>`,
  );
}

/** The status page: what this host is, how pulls are going, and which entry each pull got and why. */
export function renderStatusPage(facts: PageFacts, filter: PullFilter): string {
  const {
    version,
    startedAt,
    hostName = 'MetaHub',
    notReady,
    profile,
    sitePath,
    pulls,
    cache,
    registries,
  } = facts;
  const chip =
    notReady === undefined
      ? html`<span class="chip ok">ready</span>`
      : html`<span class="chip bad">not ready</span>`;
  return html`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>MetaHub on ${hostName}</title><style>${new Html(STATUS_STYLE)}</style></head>
<body><main>
<header><h1>${hostName}</h1><span class="dim">MetaHub ${version}, since ${utc(startedAt)}</span>${chip}</header>
<div class="grid">
${alerts(facts)}
${sitePath === undefined ? undefined : siteCard(sitePath)}
${profile === undefined ? undefined : [hostCard(profile), treeCard(profile)]}
${pulls === undefined ? undefined : pullsCard(pulls)}
${cache === undefined ? undefined : cacheCard(cache)}
${runtimesCard(facts)}
${registries === undefined ? undefined : registriesCard(registries)}
${figuresCard(facts)}
${sitePath === undefined ? pullsTable(facts, filter) : undefined}
</div></main><script>${new Html(STATUS_SCRIPT)}</script></body>
</html>
`.markup;
}
