import type { IncomingMessage, ServerResponse } from 'node:http';
import { jsonText, printable } from '../lib/text.ts';
import { RegistryError } from '../oci/registry-error.ts';
import type { Metrics } from './metrics.ts';
import { isOwnHost } from './request-validation.ts';
import { sendDocumentBytes } from './response.ts';
import type { PageFacts, RuntimeActivity, StatusFacts } from './status-facts.ts';
import { pullFilterIn, renderStatusPage, statusScriptHash } from './status-page.ts';

/**
 * The pages and documents about this server: `/`, `/status.json`, `/healthz`, `/readyz`, `/metrics`,
 * `/api/v1/gaps`.
 */
export interface Pages {
  /** @throws {RegistryError} UNSUPPORTED with 404 for any other path, 403 for a Host that is not this server's */
  answer(req: IncomingMessage, res: ServerResponse, path: string): void;
}

export interface PagesOptions {
  readonly status: () => StatusFacts;
  /** The kinds of clients that pulled, with the time of the last pull. */
  readonly runtimes: () => readonly RuntimeActivity[];
  readonly metrics: Metrics;
  /** Gaps: pulls that another build would have served better. Undefined: the page does not exist. */
  readonly gaps?: (() => object) | undefined;
  /** What this server currently lacks, as text; undefined when it lacks nothing. */
  readonly degraded?: (() => string | undefined) | undefined;
  /** Names of this server, besides its addresses and localhost. */
  readonly names: readonly string[];
  readonly state: { readonly isDraining: boolean };
}

const HTML = 'text/html; charset=utf-8';
/** Lists the gaps: pulls that another build would have served better. */
export const GAPS_PATH = '/api/v1/gaps';
const STOPPING = 'stopping';
const TEXT = 'text/plain; charset=utf-8';
/** @see https://prometheus.io/docs/instrumenting/exposition_formats/#basic-info */
const PROMETHEUS = 'text/plain; version=0.0.4; charset=utf-8';

// Computed for each page, because the mirror starts without cryptography, and few pages are requested.
const policy = () =>
  [
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    `script-src '${statusScriptHash()}'; connect-src 'self'; form-action 'self'`,
  ].join('; ');

// The page loads nothing else and runs only its own script, and no other page may frame it.
const pageHeaders = () => [
  ...['Cache-Control', 'no-store'],
  ...['Content-Security-Policy', policy()],
  ...['Referrer-Policy', 'no-referrer'],
];

type Page = readonly [status: number, type: string, body: string];

export function createPages(options: PagesOptions): Pages {
  const { status, runtimes, metrics, gaps, names, state } = options;
  /** A replica that can serve stays ready, even if it lacks something. */
  const readiness = (): Page => {
    if (state.isDraining) return [503, TEXT, `${STOPPING}\n`];
    const degraded = options.degraded?.();
    return [200, TEXT, degraded === undefined ? 'ready\n' : `ready\ndegraded: ${printable(degraded)}\n`];
  };
  const facts = (): PageFacts => ({
    ...status(),
    ...(state.isDraining ? { notReady: STOPPING } : {}),
    runtimes: runtimes(),
  });
  const pages: Readonly<Record<string, (query: URLSearchParams) => Page>> = {
    '/': (query) => [200, HTML, renderStatusPage(facts(), pullFilterIn(query))],
    '/status.json': () => [200, 'application/json', jsonText(facts())],
    '/healthz': () => [200, TEXT, 'ok\n'],
    '/readyz': readiness,
    '/metrics': () => [200, PROMETHEUS, metrics.text()],
    ...(gaps === undefined ? {} : { [GAPS_PATH]: () => [200, 'application/json', jsonText(gaps())] }),
  };
  return {
    answer: (req, res, path) => {
      const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
      if (page === undefined) {
        throw new RegistryError('UNSUPPORTED', 'there is nothing at this path', { status: 404 });
      }
      if (!isOwnHost(req.headers.host, names)) {
        throw new RegistryError('DENIED', 'this page is not shown under that Host: add it with --name');
      }
      const [code, type, body] = page(new URLSearchParams((req.url ?? '').slice(path.length)));
      sendDocumentBytes(res, code, ['Content-Type', type, ...pageHeaders()], Buffer.from(body));
    },
  };
}
