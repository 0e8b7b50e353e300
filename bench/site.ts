import type { Workplace } from '../test/support/workplace.ts';
import { ACCEPT_LIST, pushList } from './content.ts';
import { requests } from './drive.ts';
import { answerOf } from './manifests.ts';
import { type Contender, startBare, startMetahub, startRegistry } from './registries.ts';
import { measure } from './rounds.ts';
import type { Section } from './table.ts';

const NODE = 'node mode';
const SITE = 'site mode, a bearer token each request';
const BARE = 'bare node:http';
const BARE_SITE = 'bare node:http, the same requests and answers as in site mode';
const LOGIN = 'qnib-type1';

/** Requests a bearer token for pulling, as Docker does. */
async function fetchToken(url: string, repository: string): Promise<string> {
  const scope = encodeURIComponent(`repository:${repository}:pull`);
  const service = new URL(url).host;
  const credentials = Buffer.from(`${LOGIN}:${LOGIN}`).toString('base64');
  const response = await fetch(`${url}/token?service=${service}&scope=${scope}`, {
    headers: { authorization: `Basic ${credentials}` },
  });
  if (!response.ok) throw new Error(`${response.url}: ${response.status} ${await response.text()}`);
  return ((await response.json()) as { readonly token: string }).token;
}

/** The same manifest from a mirror in node mode and one in site mode, where each request is admitted by its token. */
export async function benchSite(workplace: Workplace, rounds: number): Promise<readonly Section[]> {
  const registry = await startRegistry(workplace, 'upstream');
  const { path } = await pushList(registry.url);
  const start = (name: string, env: Readonly<Record<string, string>>) =>
    startMetahub(workplace, { upstream: registry.url, data: workplace.folder(`metahub-${name}`), env });
  const [node, site] = [await start('node', {}), await start('site', { STATIC_MACHINES: 'true' })];
  const authorization = `Bearer ${await fetchToken(site.url, 'bench/list')}`;
  const siteHeaders = { ...ACCEPT_LIST, Authorization: authorization };
  const bareLike = async (url: string, headers: Readonly<Record<string, string>>) =>
    startBare(workplace, ['document', ...(await answerOf(workplace, url, headers))]);
  const bare = await bareLike(node.url + path, ACCEPT_LIST);
  const bareSite = await bareLike(site.url + path, siteHeaders);
  const load = (headers: Readonly<Record<string, string>>) => ({ connections: 16, seconds: 1, headers });
  const ask =
    ({ url, pid }: Contender, headers: Readonly<Record<string, string>>) =>
    () =>
      requests({ url: url + path, pid }, load(headers));
  return [
    {
      title: 'Site mode, cached manifest, 16 connections',
      how: `A list of ten entries by tag; \`wrk -t1 -c16\` for 1 s, ${rounds} rounds.`,
      unit: 'requests/s',
      measured: await measure(rounds, {
        [SITE]: ask(site, siteHeaders),
        [NODE]: ask(node, ACCEPT_LIST),
        [BARE_SITE]: ask(bareSite, siteHeaders),
        [BARE]: ask(bare, ACCEPT_LIST),
      }),
      ratios: [
        { of: SITE, against: NODE, goal: 0.9 },
        // Any server must read a token of some 400 bytes and send one more header.
        { of: BARE_SITE, against: BARE },
      ],
    },
  ];
}
