import { createHash } from 'node:crypto';
import { Html, html } from '../../lib/html.ts';
import { PAGE_STYLE } from '../../lib/page-style.ts';
import type { AnswerVerdict } from '../pull-record.ts';

/** Base path of the site's pages. */
export const WEB_PATH = '/site/';

const STYLE = `${PAGE_STYLE}
a { text-underline-offset: .15em; } :focus-visible { outline: .2rem solid var(--accent); outline-offset: .15rem; }
nav { display: flex; flex-wrap: wrap; gap: .25rem; }
nav a { padding: .35rem .7rem; border-radius: .4rem; text-decoration: none; color: var(--ink); }
nav a[aria-current] { background: var(--card); box-shadow: inset 0 0 0 1px var(--line); font-weight: 600; }
header form { margin: 0 0 0 auto; align-items: baseline; }
.skip { position: absolute; left: -100rem; } .skip:focus { left: 1rem; top: .5rem; background: var(--card); padding: .5rem; }
h2 { font-size: 1.05rem; color: var(--ink); } h2 .dim { font-weight: 400; font-size: .9rem; }
button, .button { display: inline-block; padding: .35rem .9rem; border: 1px solid var(--accent); border-radius: .4rem;
  background: var(--card); color: var(--accent); text-decoration: none; cursor: pointer; }
button.main { background: light-dark(#1f5fc4, #8ab4f8); color: light-dark(#ffffff, #10141a); font-weight: 600; }
button.danger { background: light-dark(#ad262c, #f38d92); border-color: transparent; color: light-dark(#ffffff, #10141a); font-weight: 600; }
.actions { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: baseline; }
.feature { display: inline-block; border: 1px solid var(--line); border-radius: .4rem; padding: 0 .45rem; margin: 0 .2rem .2rem 0;
  font: .85em ui-monospace, monospace; }
.member { display: inline-block; padding: .1rem 0; margin-right: 1rem; } .member a { display: inline-block; padding: .1rem .2rem; }
.fields { display: grid; gap: .9rem; max-width: 40rem; } .fields label { font-weight: 600; display: block; }
.fields input:not([type=checkbox], [type=radio]), .fields textarea, .fields select { width: 100%; padding: .45rem .6rem; font: inherit;
  border: 1px solid var(--dim); border-radius: .4rem; background: var(--ground); color: var(--ink); }
.fields textarea { font-family: ui-monospace, monospace; min-height: 6.5rem; }
.fields .option { font-weight: 400; display: flex; gap: .5rem; align-items: baseline; }
fieldset { border: 0; padding: 0; margin: 0; } legend { font-weight: 600; padding: 0; }
td[data-label=Gets] { min-width: 11rem; } td[data-label^=May] { min-width: 8rem; } td[data-label=to]::before { content: "\\2192\\00a0"; }
.narrow { max-width: 26rem; margin: 3rem auto; }
.secret { user-select: all; padding: .6rem; border: 1px dashed var(--dim); border-radius: .4rem; display: block; }
@media (max-width: 42rem) {
  td[data-label]::before { content: attr(data-label) " "; color: var(--dim); font-size: .85em; }
  td:empty { display: none; } nav a, button, .button { padding: .55rem .9rem; }
  .actions { margin-top: .35rem; }
}`;

/** Hash of the pages' only style sheet, for the Content-Security-Policy; the pages have no script. */
const STYLE_HASH = createHash('sha256').update(STYLE).digest('base64');

/** Headers that forbid a page to load or run anything, to send forms to another site, and to be framed. */
export const PAGE_HEADERS = [
  ...[
    'Content-Type',
    'text/html; charset=utf-8',
    'Cache-Control',
    'private, no-store',
    'Vary',
    'Cookie, Authorization',
  ],
  'Content-Security-Policy',
  `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'`,
  ...['Referrer-Policy', 'same-origin', 'X-Content-Type-Options', 'nosniff', 'X-Frame-Options', 'DENY'],
  ...['Cross-Origin-Opener-Policy', 'same-origin', 'Cross-Origin-Resource-Policy', 'same-origin'],
];

const NAVIGATION = [
  ['', 'Machine types'],
  ['pulls', 'Pulls'],
  ['decisions', 'Latest'],
  ['hosts', 'Machines'],
  ['gaps', 'Gaps'],
  ['accounts', 'Accounts'],
  ['groups', 'Groups'],
] as const;

export interface PageFrame {
  readonly title: string;
  /** The page's entry in the navigation. */
  readonly section?: (typeof NAVIGATION)[number][0] | undefined;
  /** The logged-in account; undefined: none. */
  readonly user: string | undefined;
}

/** Formats a whole page. */
export function pageOf({ title, section, user }: PageFrame, ...body: readonly Html[]): string {
  const links = NAVIGATION.map(
    ([path, name]) =>
      html`<a href="${WEB_PATH}${path}"${new Html(path === section ? ' aria-current="page"' : '')}>${name}</a>`,
  );
  const head =
    user === undefined
      ? undefined
      : html`<header><nav aria-label="Site">${links}</nav>
<form method="post" action="${WEB_PATH}logout"><span class="dim">${user}</span> <button>Log out</button></form></header>`;
  return html`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} · MetaHub</title><style>${new Html(STYLE)}</style></head>
<body><a class="skip" href="#content">Skip to content</a><main>${head}
<div class="grid" id="content"><h1 class="whole">${title}</h1>
${body}
</div></main></body>
</html>
`.markup;
}

/** Formats a section of a page with its heading. */
export function cardOf(title: Html | string, ...body: readonly (Html | undefined)[]): Html {
  return html`<section class="card whole"><h2>${title}</h2>${body}</section>`;
}

/** Formats a table. On a narrow screen each cell shows the name of its column. */
export function tableOf(
  columns: readonly string[],
  rows: readonly (readonly (Html | string | number)[])[],
): Html {
  const head = html`<thead><tr>${columns.map((column) => html`<th scope="col">${column}</th>`)}</tr></thead>`;
  const cells = (row: readonly (Html | string | number)[]) =>
    row.map((cell, at) => html`<td${labelOf(columns[at])}>${cell}</td>`);
  return html`<table>${head}<tbody>${rows.map((row) => html`<tr>${cells(row)}</tr>`)}</tbody></table>`;
}

function labelOf(column: string | undefined): Html | undefined {
  return column === undefined || column === '' ? undefined : html` data-label="${column}"`;
}

/** Formats patterns of repositories. */
export function patternsOf(patterns: readonly string[]): Html {
  if (patterns.length === 0) return html`<span class="dim">nowhere</span>`;
  return html`${patterns.map((pattern) => html`<span class="feature">${pattern}</span>`)}`;
}

/** Formats the features of a machine. */
export function featuresOf(features: readonly string[]): Html {
  if (features.length === 0) return html`<span class="dim">no features</span>`;
  return html`${features.map((feature) => html`<span class="feature">${feature}</span>`)}`;
}

const TONES: Readonly<Record<AnswerVerdict, string>> = {
  fitted: 'ok',
  unchanged: 'dim',
  generic: 'warn',
  refused: 'bad',
  failed: 'bad',
};

/** Formats a verdict with its colour. */
export function chipOf(verdict: AnswerVerdict): Html {
  return html`<span class="chip ${TONES[verdict]}">${verdict}</span>`;
}

/** Formats a time: to the minute, in UTC. */
export function timeOf(at: string): Html {
  return html`<time datetime="${at}">${at.slice(0, 16).replace('T', ' ')} UTC</time>`;
}

/** Builds a path of the site's pages, with its query. */
export function linkTo(path: string, query: Readonly<Record<string, string | undefined>> = {}): string {
  const written = Object.entries(query).filter((entry): entry is [string, string] => Boolean(entry[1]));
  return `${WEB_PATH}${path}${written.length === 0 ? '' : `?${new URLSearchParams(written)}`}`;
}

/** Formats a message about the result of a request, which screen readers announce. */
export function alertOf(tone: 'ok' | 'warn' | 'bad', ...body: readonly (Html | string)[]): Html {
  return html`<p class="card whole alert ${tone}" role="status">${body}</p>`;
}

/** Formats the link to the next part of a list. `parameter` is the name of the query's key for it. */
export function moreLink(
  path: string,
  query: Readonly<Record<string, string | undefined>>,
  next: string | undefined,
  parameter = 'cursor',
) {
  if (next === undefined) return undefined;
  return html`<p><a href="${linkTo(path, { ...query, [parameter]: next })}">More</a></p>`;
}
