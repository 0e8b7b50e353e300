import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Workplace } from '../test/support/workplace.ts';
import { pushRandomBlob } from './content.ts';
import { downloads, requests, type Target } from './drive.ts';
import { startNginx } from './nginx.ts';
import { startBare, startMetahub, startRegistry } from './registries.ts';
import { measure } from './rounds.ts';
import type { Section } from './table.ts';

const METAHUB = 'MetaHub';
const NGINX = 'nginx sendfile';
const BARE = 'bare node:http';
const REGISTRY = 'docker-registry';
const THROUGH = 'docker-registry pull-through';

const SIZE_BYTES = 512 * 1024 * 1024;
const RANGE_BYTES = 64 * 1024;
/** The size of an image configuration. */
const SMALL_BYTES = 6 * 1024;

/** A wrk script that requests one 64 KiB range after another, over the whole blob. */
const RANGE_SCRIPT = `
local size, step = ${SIZE_BYTES}, ${RANGE_BYTES}
local at = 0
request = function()
  at = (at + step * 7919) % (size - step)
  at = at - at % step
  return wrk.format("GET", nil, { ["Range"] = "bytes=" .. at .. "-" .. (at + step - 1) })
end
`;

/** The same small blob repeatedly, as many nodes request the configuration of an image. */
async function benchSmallBlob(
  workplace: Workplace,
  { registry, metahub }: Readonly<Record<'registry' | 'metahub', Target>>,
  rounds: number,
): Promise<Section> {
  const { path, bytes } = await pushRandomBlob(registry.url, SMALL_BYTES);
  const root = workplace.folder('small');
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), bytes);
  const nginx = await startNginx(workplace, 'small', { server: `root ${root};` });
  const targets = { [METAHUB]: metahub, [NGINX]: nginx, [REGISTRY]: registry };
  const ask =
    ({ url, pid }: Target, seconds: number) =>
    () =>
      requests({ url: url + path, pid }, { connections: 4, seconds });
  const contenders = Object.entries(targets);
  for (const [, target] of contenders) await ask(target, 1)();
  return {
    title: 'Small blob from the cache',
    how: `6 KiB, \`wrk -t1 -c4\` for 2 s, ${rounds} rounds.`,
    unit: 'requests/s',
    measured: await measure(
      rounds,
      Object.fromEntries(contenders.map(([name, target]) => [name, ask(target, 2)])),
    ),
    ratios: [
      { of: METAHUB, against: REGISTRY },
      { of: METAHUB, against: NGINX },
    ],
  };
}

/** Stored blobs: whole, four at once, in ranges, and a small one. */
export async function benchBlobs(workplace: Workplace, rounds: number): Promise<readonly Section[]> {
  const registry = await startRegistry(workplace, 'upstream');
  const { path, bytes } = await pushRandomBlob(registry.url, SIZE_BYTES);
  const through = await startRegistry(workplace, 'through', { remote: registry.url });
  const metahub = await startMetahub(workplace, {
    upstream: registry.url,
    data: workplace.folder('metahub'),
  });
  const root = workplace.folder('www');
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), bytes);
  const nginx = await startNginx(workplace, 'static', { server: `root ${root};` });
  const targets: Readonly<Record<string, Target>> = {
    [METAHUB]: { url: metahub.url + path, pid: metahub.pid },
    [NGINX]: { url: nginx.url + path, pid: nginx.pid },
    [REGISTRY]: { url: registry.url + path, pid: registry.pid },
    [THROUGH]: { url: through.url + path, pid: through.pid },
  };
  for (const target of Object.values(targets)) await downloads(target, { clients: 1, sizeBytes: SIZE_BYTES });

  const over = (clients: number) =>
    measure(
      rounds,
      Object.fromEntries(
        Object.entries(targets).map(([name, target]) => [
          name,
          () => downloads(target, { clients, sizeBytes: SIZE_BYTES }),
        ]),
      ),
    );
  const bare = await startBare(workplace, ['ranges', join(root, path), String(SIZE_BYTES)]);
  const inRanges = { ...targets, [BARE]: { url: bare.url + path, pid: bare.pid } };
  const script = join(workplace.directory, 'ranges.lua');
  writeFileSync(script, RANGE_SCRIPT);
  // In its first seconds a server compiles its code.
  for (const target of Object.values(inRanges))
    await requests(target, { connections: 4, seconds: 1, script });
  const how = (clients: number) =>
    `512 MiB, hot page cache, ${clients === 1 ? 'one client' : `${clients} clients at once`} (curl), ${rounds} rounds.`;
  return [
    {
      title: 'Blob from the cache, one client',
      how: how(1),
      unit: 'GB/s',
      measured: await over(1),
      ratios: [
        { of: METAHUB, against: REGISTRY },
        { of: METAHUB, against: NGINX, goal: 0.7 },
        // The speed of the kernel's own way on this machine.
        { of: NGINX, against: REGISTRY },
      ],
    },
    {
      title: 'Blob from the cache, four clients',
      how: how(4),
      unit: 'GB/s',
      measured: await over(4),
      ratios: [
        { of: METAHUB, against: REGISTRY },
        { of: METAHUB, against: NGINX, goal: 0.85 },
        { of: NGINX, against: REGISTRY },
      ],
    },
    {
      title: 'Ranges of 64 KiB from the cache',
      how: `All over the same blob, \`wrk -t1 -c4\` for 2 s, ${rounds} rounds.`,
      unit: 'requests/s',
      measured: await measure(
        rounds,
        Object.fromEntries(
          Object.entries(inRanges).map(([name, target]) => [
            name,
            () => requests(target, { connections: 4, seconds: 2, script }),
          ]),
        ),
      ),
      ratios: [
        { of: METAHUB, against: REGISTRY },
        { of: METAHUB, against: NGINX, goal: 0.8 },
        { of: BARE, against: NGINX },
        { of: METAHUB, against: BARE },
      ],
    },
    await benchSmallBlob(workplace, { registry, metahub }, rounds),
  ];
}
