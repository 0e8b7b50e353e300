import { expect, test } from 'vitest';
import { mirrorChecks } from '../../../src/cli/commands/doctor/mirror.ts';
import { CHECK_HEADERS } from '../../../src/lib/http.ts';
import { MEDIA_TYPE } from '../../../src/oci/media-type.ts';
import { closing } from '../../support/upstream.ts';
import { startWholeMirror, type WholeMirror } from '../../support/whole-mirror.ts';
import { openWorkplace } from '../../support/workplace.ts';

/** A mirror of a zen4 host, which gets the generic entry of library/hello-world:latest: the other one is for broadwell. */
async function mirrorOfAnIndex(): Promise<WholeMirror> {
  const mirror = await startWholeMirror(closing(openWorkplace()), {
    host: 'cpu:zen4',
    args: ['--tag-max-age', '1h'],
  });
  const entry = (features: object) => {
    const digest = mirror.push().manifest;
    const size = mirror.content.manifests.get(digest)?.bytes.length;
    const platform = { os: 'linux', architecture: 'amd64', ...features };
    return { mediaType: MEDIA_TYPE.ociManifest, digest, size, platform };
  };
  const manifests = [entry({}), entry({ features: ['cpu:broadwell'] })];
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests };
  mirror.content.putManifest(index, MEDIA_TYPE.ociIndex, 'latest');
  return mirror;
}

/** What the mirror has recorded: the pulls by verdict that are not zero, and the pulls of its gaps. */
async function recorded({ metahub }: WholeMirror) {
  const of = async (path: string) => JSON.parse(await (await fetch(`${metahub.url}${path}`)).text());
  const { pulls, decisions } = await of('/status.json');
  const { gaps } = await of('/api/v1/gaps');
  return {
    pulls: Object.fromEntries(Object.entries(pulls).filter(([, count]) => count !== 0)),
    decisions: decisions.length,
    gaps: gaps.map((gap: { readonly pulls: number }) => gap.pulls),
  };
}

const NOTHING = { pulls: {}, decisions: 0, gaps: [] };
const ONE_PULL = { pulls: { generic: 1 }, decisions: 1, gaps: [1] };

test('the check of doctor that pulls through a mirror is no pull, and the next pull of the tag is one', async () => {
  const mirror = await mirrorOfAnIndex();
  const { url } = mirror.metahub;
  const check = mirrorChecks(url).find(({ name }) => name === 'pull');
  expect(await check?.run(AbortSignal.timeout(20_000))).toMatchObject({ status: 'pass' });
  expect(await recorded(mirror)).toEqual(NOTHING);
  const headers = { accept: MEDIA_TYPE.ociIndex };
  const pull = await fetch(`${url}/v2/library/hello-world/manifests/latest`, { headers });
  expect(pull.status).toBe(200);
  expect(await recorded(mirror)).toEqual(ONE_PULL);
  expect(mirror.metahub.log()).toMatch(/"event":"decided".*"purpose":"check"/);
});

test('a check that fails because the registry does is no failed pull, and a pull is one', async () => {
  const mirror = await mirrorOfAnIndex();
  mirror.behave((_, response) => response.writeHead(500).end());
  const ask = async (headers: Readonly<Record<string, string>>) =>
    (await fetch(`${mirror.metahub.url}/v2/library/hello-world/manifests/latest`, { headers })).status;
  expect(await ask(CHECK_HEADERS)).toBe(502);
  expect(await recorded(mirror)).toEqual(NOTHING);
  expect(await ask({})).toBe(502);
  expect(await recorded(mirror)).toEqual({ pulls: { failed: 1 }, decisions: 1, gaps: [] });
});
