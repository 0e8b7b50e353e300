import { mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Workplace } from '../test/support/workplace.ts';
import { ACCEPT_LIST, pushList } from './content.ts';
import { heads, requests, type Target, unpin } from './drive.ts';
import { cacheOf, startNginx } from './nginx.ts';
import { startBare, startMetahub, startRegistry } from './registries.ts';
import { type Figure, measure } from './rounds.ts';
import type { Ratio, Section } from './table.ts';

const METAHUB = 'MetaHub';
const NGINX_STATIC = 'nginx, static file';
const NGINX_CACHE = 'nginx proxy_cache';
const REGISTRY = 'docker-registry';
const THROUGH_TAG = 'docker-registry pull-through, by tag';
const BARE = 'bare node:http';
const THROUGH_DIGEST = 'docker-registry pull-through, by digest';

/** Writes the headers and the bytes of a response to files. */
export async function answerOf(
  workplace: Workplace,
  url: string,
  headers: Readonly<Record<string, string>> = ACCEPT_LIST,
): Promise<readonly [headersFile: string, bytesFile: string]> {
  const folder = mkdtempSync(join(workplace.directory, 'answer-'));
  const response = await fetch(url, { headers });
  const own = [...response.headers].filter(([name]) => !['connection', 'date', 'keep-alive'].includes(name));
  const files = [join(folder, 'headers.json'), join(folder, 'bytes')] as const;
  writeFileSync(files[0], JSON.stringify(own.flat()));
  writeFileSync(files[1], Buffer.from(await response.arrayBuffer()));
  return files;
}

/** Every server with the same index, requested once so that the caches have it. */
async function contenders(workplace: Workplace): Promise<Readonly<Record<string, Target>>> {
  const registry = await startRegistry(workplace, 'upstream');
  const { path, digest } = await pushList(registry.url);
  const byDigest = path.replace('latest', digest);
  const through = await startRegistry(workplace, 'through', { remote: registry.url });
  const cache = await startNginx(
    workplace,
    'cache',
    cacheOf(registry.url, workplace.folder('nginx-content')),
  );
  const metahub = await startMetahub(workplace, {
    upstream: registry.url,
    data: workplace.folder('metahub'),
  });

  const list = Buffer.from(await (await fetch(registry.url + path, { headers: ACCEPT_LIST })).arrayBuffer());
  const root = workplace.folder('www');
  writeFileSync(join(root, 'latest'), list);
  const still = await startNginx(workplace, 'static', {
    server: `root ${root}; default_type ${ACCEPT_LIST.Accept};
      add_header Docker-Distribution-Api-Version registry/2.0; add_header Docker-Content-Digest ${digest};`,
  });
  const bare = await startBare(workplace, ['document', ...(await answerOf(workplace, metahub.url + path))]);
  const targets = {
    [METAHUB]: { url: metahub.url + path, pid: metahub.pid },
    [BARE]: { url: bare.url + path, pid: bare.pid },
    [NGINX_STATIC]: { url: `${still.url}/latest`, pid: still.pid },
    [NGINX_CACHE]: { url: cache.url + path, pid: cache.pid },
    [REGISTRY]: { url: registry.url + path, pid: registry.pid },
    [THROUGH_TAG]: { url: through.url + path, pid: through.pid },
    [THROUGH_DIGEST]: { url: through.url + byDigest, pid: through.pid },
  };
  for (const { url } of Object.values(targets)) {
    const response = await fetch(url, { headers: ACCEPT_LIST });
    if (!response.ok) throw new Error(`${url}: ${response.status}`);
    await response.arrayBuffer();
  }
  return targets;
}

/** The speed of Node.js itself, and how much of it MetaHub reaches. */
const FLOOR: readonly Ratio[] = [
  { of: BARE, against: NGINX_CACHE },
  { of: METAHUB, against: BARE },
];
const RATIOS: readonly Ratio[] = [
  ...[THROUGH_DIGEST, THROUGH_TAG, NGINX_CACHE].map((against) => ({ of: METAHUB, against })),
  ...FLOOR,
];

/** Measured without pinning: connections, the goal, and headers. */
const UNPINNED: readonly (readonly [string, number, number, Readonly<Record<string, string>>])[] = [
  ['16 connections', 16, 0.75, {}],
  ['64 connections', 64, 0.9, {}],
  ['a new connection each', 16, 0.35, { Connection: 'close' }],
];

/** Cached manifests: GET over 1, 16 and 64 connections, HEAD, and a connection for each request. */
export async function benchManifests(workplace: Workplace, rounds: number): Promise<readonly Section[]> {
  const targets = await contenders(workplace);
  const over = (load: (target: Target) => Promise<Figure>) =>
    measure(
      rounds,
      Object.fromEntries(Object.entries(targets).map(([name, target]) => [name, () => load(target)])),
    );
  const seconds = 1;
  const sections: Section[] = [];
  for (const connections of [1, 16, 64]) {
    sections.push({
      title: `Cached manifest, GET, ${connections} connection${connections === 1 ? '' : 's'}`,
      how: `A list of ten entries by tag; \`wrk -t1 -c${connections}\` for ${seconds} s, ${rounds} rounds.`,
      unit: 'requests/s',
      measured: await over((target) => requests(target, { connections, seconds, headers: ACCEPT_LIST })),
      ratios: RATIOS,
    });
  }
  sections.push({
    title: 'Cached manifest, HEAD, 16 connections',
    how: `\`ab -i -k -c16\` for ${seconds} s, ${rounds} rounds.`,
    unit: 'requests/s',
    measured: await over((target) => heads(target, { connections: 16, seconds, headers: ACCEPT_LIST })),
    ratios: RATIOS,
  });
  sections.push({
    title: 'Cached manifest, GET, a new connection each',
    how: `As dockerd does it: \`Connection: close\`, \`wrk -t1 -c16\` for ${seconds} s, ${rounds} rounds.`,
    unit: 'requests/s',
    measured: await over((target) =>
      requests(target, { connections: 16, seconds, headers: { ...ACCEPT_LIST, Connection: 'close' } }),
    ),
    ratios: RATIOS,
  });
  const contested = Object.fromEntries([METAHUB, BARE, NGINX_CACHE].map((name) => [name, targets[name]]));
  await unpin(Object.values(contested).flatMap((target) => target?.pid ?? []));
  for (const [what, connections, goal, headers] of UNPINNED) {
    const load = { connections, seconds, headers: { ...ACCEPT_LIST, ...headers }, isUnpinned: true };
    sections.push({
      title: `Cached manifest, GET, ${what}, load and servers share all cores`,
      how: `\`wrk -t1 -c${connections}\` for ${seconds} s, ${rounds} rounds.`,
      unit: 'requests/s',
      measured: await measure(
        rounds,
        Object.fromEntries(
          Object.entries(contested).flatMap(([name, target]) =>
            target ? [[name, () => requests(target, load)] as const] : [],
          ),
        ),
      ),
      ratios: [{ of: METAHUB, against: NGINX_CACHE, goal }, ...FLOOR],
    });
  }
  return sections;
}
