import { describe, expect, test } from 'vitest';
import { RegistryError } from '../../../src/oci/registry-error.ts';
import type { Gap } from '../../../src/selection/gap-schema.ts';
import { basic, hashed } from '../../support/site.ts';
import { serveWholeSite } from '../../support/site-server.ts';
import { repository } from '../../support/upstream.ts';

const API = '/api/v1';

function gapOf(image: string): Gap {
  const at = '2026-11-27T00:00:00.000Z';
  return {
    ...{ image, fit: 'generic', platform: 'linux/amd64', wanted: ['cpu:zen4'], isMarked: true, served: '' },
    ...{ pulls: 3, hosts: ['a'], firstAt: at, lastAt: at },
  };
}

async function site(gaps = [gapOf('docker.io/b/app:latest'), gapOf('docker.io/a/app:latest')]) {
  const own = (name: string) => `{ name: ${name}, features: [cpu:${name}] }`;
  const whole = await serveWholeSite(
    {
      'root.yaml': `user: root\npassword: "${await hashed('root')}"\nrole: admin\n`,
      'a.yaml': `user: a\npassword: "${await hashed('a')}"\npush: [a/*]\ntypes: [${own('zen4')}, ${own('haswell')}]\n`,
      'b.yaml': `user: b\npassword: "${await hashed('b')}"\ntypes: [${own('skylake')}]\n`,
    },
    { gaps: () => gaps },
  );
  const manifests = [[], ['cpu:skylake'], ['cpu:zen4']].map((features, at) => ({
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: `sha256:${String(at).repeat(64)}`,
    size: 100,
    platform: { os: 'linux', architecture: 'amd64', features },
  }));
  const index = { schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json' };
  for (const [name, tag, entries] of [
    ['a/app', 'latest', manifests],
    ['b/app', 'latest', manifests],
    ['a/app', 'new', manifests.slice(2)],
  ] as const) {
    const document = { ...index, annotations: { name }, manifests: entries };
    whole.upstream.putManifest(document, { tag, repository: repository(name, 'docker.io') });
  }
  return whole;
}

describe('the API’s record of pulls', () => {
  test('shows which entry each login got, and why', async () => {
    const { pull, ask } = await site();
    for (const [login, password] of [
      ['a-zen4', 'a'],
      ['a-haswell', 'a'],
      ['b-skylake', 'b'],
    ] as const) {
      expect((await pull('a/app:latest', basic(login, password))).status).toBe(200);
    }
    const { images } = await (await ask(`${API}/images`, { as: 'root' })).json();
    expect(images.map(({ login, verdict, entry, answers }) => [login, verdict, entry, answers])).toEqual([
      ['a-haswell', 'generic', '', 1],
      ['a-zen4', 'fitted', 'cpu:zen4', 1],
      ['b-skylake', 'fitted', 'cpu:skylake', 1],
    ]);
    expect(images[1]?.digest).toMatch(/^sha256:/);
    expect(images[1]?.reason).not.toBe('');
  });

  test('counts an answer from the response cache for the login that got it', async () => {
    const { pull, ask, upstream } = await site();
    await pull('a/app:latest', basic('a-zen4', 'a'));
    const asked = upstream.count();
    // Another login of an equal machine: the answer is the same, the login is not.
    await pull('a/app:latest', basic('a/cpu#zen4', 'a'));
    await pull('a/app:latest', basic('a-zen4', 'a'));
    expect(upstream.count()).toBe(asked);
    const { decisions } = await (await ask(`${API}/decisions`, { as: 'root' })).json();
    expect(decisions.map(({ login, entry, answers }) => [login, entry, answers])).toEqual([
      ['a/cpu#zen4', 'cpu:zen4', 1],
      ['a-zen4', 'cpu:zen4', 2],
    ]);
  });

  test('contains refused and failed pulls, but no tag that does not exist', async () => {
    const { pull, ask, upstream } = await site();
    await pull('a/app:new', basic('a-haswell', 'a'));
    expect((await pull('a/app:absent', basic('a-haswell', 'a'))).status).toBe(404);
    upstream.before = () => {
      throw new RegistryError('UNAVAILABLE', 'the registry is down');
    };
    expect((await pull('a/app:latest', basic('a-haswell', 'a'))).status).toBe(502);
    const { decisions } = await (await ask(`${API}/decisions`, { as: 'root' })).json();
    expect(decisions.map(({ image, verdict }) => [image, verdict])).toEqual([
      ['docker.io/a/app:latest', 'failed'],
      ['docker.io/a/app:new', 'refused'],
    ]);
    const only = await (await ask(`${API}/decisions?verdict=failed`, { as: 'root' })).json();
    expect(only.decisions).toMatchObject([{ reason: 'the registry is down', digest: null }]);
    expect((await ask(`${API}/decisions?verdict=bad`, { as: 'root' })).status).toBe(400);
  });

  test('pages from the latest decision to the first', async () => {
    const { pull, ask } = await site();
    for (const name of ['a/app:latest', 'b/app:latest', 'a/app:new']) await pull(name, basic('a-zen4', 'a'));
    const first = await ask(`${API}/decisions?limit=2`, { as: 'root' });
    const path = /^<([^>]+)>; rel="next"$/.exec(first.headers.get('link') ?? '')?.[1] ?? '';
    const names = async (answer: { json(): Promise<{ decisions: readonly { image: string }[] }> }) =>
      (await answer.json()).decisions.map(({ image }) => image);
    expect(await names(first)).toEqual(['docker.io/a/app:new', 'docker.io/b/app:latest']);
    const second = await ask(path, { as: 'root' });
    expect(await names(second)).toEqual(['docker.io/a/app:latest']);
    expect(second.headers.get('link')).toBeNull();
  });

  test('lists the machines that pulled, by login and address', async () => {
    const { pull, ask } = await site();
    await pull('a/app:latest', basic('a/cpu#zen4', 'a'));
    const { hosts } = await (await ask(`${API}/hosts`, { as: 'root' })).json();
    expect(hosts).toMatchObject([
      { account: 'a', login: 'a/cpu#zen4', features: ['cpu:zen4'], address: '127.0.0.1' },
    ]);
  });
});

describe('the query of a list of pulls', () => {
  async function pulled() {
    const whole = await site();
    for (const [name, login, password] of [
      ['a/app:latest', 'a-zen4', 'a'],
      ['b/app:latest', 'a-zen4', 'a'],
      ['b/app:latest', 'b-skylake', 'b'],
    ] as const) {
      expect((await whole.pull(name, basic(login, password))).status).toBe(200);
    }
    return whole;
  }
  const a = ['docker.io/a/app:latest a-zen4', 'docker.io/b/app:latest a-zen4'];
  const b = 'docker.io/b/app:latest b-skylake';

  test.each([
    ['', [...a, b]],
    ['image=a/app', a.slice(0, 1)],
    ['image=o/b/a', [a[1], b]],
    ['image=c/', []],
    ['login=a-zen4', a],
    ['login=a', []],
    ['login=a-zen4&image=b/', a.slice(1)],
    ['account=b', [b]],
    ['account=b&image=a/', []],
  ])('“%s” gives those images and decisions alone', async (query, expected) => {
    const { ask } = await pulled();
    for (const path of ['images', 'decisions'] as const) {
      const document = await (await ask(`${API}/${path}?${query}`, { as: 'root' })).json();
      expect(document[path].map(({ image, login }) => `${image} ${login}`).sort()).toEqual(expected);
    }
  });

  test('names an account for the list of machines, which is sorted and cut like any other', async () => {
    const { ask } = await pulled();
    const loginsOf = async (query: string) => {
      const answer = await ask(`${API}/hosts?${query}`, { as: 'root' });
      const next = /<(.*)>; rel="next"/.exec(answer.headers.get('link') ?? '')?.[1];
      return { logins: (await answer.json()).hosts.map(({ login }) => login), next };
    };
    expect((await loginsOf('')).logins).toEqual(['a-zen4', 'b-skylake']);
    expect((await loginsOf('account=b')).logins).toEqual(['b-skylake']);
    const first = await loginsOf('limit=1');
    expect(first.logins).toEqual(['a-zen4']);
    expect(await loginsOf(first.next?.split('?')[1] ?? '')).toEqual({
      logins: ['b-skylake'],
      next: undefined,
    });
    const { hosts } = await (await ask(`${API}/hosts`, { as: 'a' })).json();
    // The clock of the test stands still.
    const at = '2023-11-14T22:13:20.000Z';
    expect(hosts).toEqual([
      {
        ...{ account: 'a', login: 'a-zen4', features: ['cpu:zen4'], address: '127.0.0.1' },
        ...{ firstAt: at, lastAt: at },
      },
    ]);
  });

  test('names an image for the list of gaps, which has each gap of an image', async () => {
    const other = { ...gapOf('docker.io/a/app:latest'), wanted: ['cpu:zen5'] };
    const { ask } = await site([gapOf('docker.io/b/app:latest'), other, gapOf('docker.io/a/app:latest')]);
    const part = async (query: string, as = 'root') => {
      const answer = await ask(`${API}/gaps?${query}`, { as });
      const next = /<(.*)>; rel="next"/.exec(answer.headers.get('link') ?? '')?.[1];
      const { gaps } = (await answer.json()) as unknown as { gaps: readonly Gap[] };
      return { gaps: gaps.map(({ image, wanted }) => `${image} ${wanted.join()}`), next };
    };
    const all = ['a/app:latest cpu:zen4', 'a/app:latest cpu:zen5', 'b/app:latest cpu:zen4'];
    const named = all.map((name) => `docker.io/${name}`);
    expect((await part('')).gaps).toEqual(named);
    expect((await part('image=b/')).gaps).toEqual(named.slice(2));
    expect((await part('image=b/', 'a')).gaps).toEqual([]);
    const first = await part('limit=2');
    expect(first.gaps).toEqual(named.slice(0, 2));
    expect(await part(first.next?.split('?')[1] ?? '')).toEqual({ gaps: named.slice(2), next: undefined });
  });
});

describe('an account’s view of pulls', () => {
  test('contains its own pulls, and with a token only what the token may pull', async () => {
    const { pull, ask } = await site();
    await pull('a/app:latest', basic('a-zen4', 'a'));
    await pull('b/app:latest', basic('a-zen4', 'a'));
    await pull('b/app:latest', basic('b-skylake', 'b'));
    for (const path of ['images', 'decisions', 'hosts'] as const) {
      for (const query of ['', '?account=b']) {
        const document = await (await ask(`${API}/${path}${query}`, { as: 'a' })).json();
        const accounts = new Set(
          (document[path] as readonly { account?: string }[]).map(({ account }) => account),
        );
        expect([path, query, [...accounts]]).toEqual([path, query, query === '' ? ['a'] : []]);
      }
    }
    const json = { name: 'ci', repositories: ['b/*'] };
    const made = await ask(`${API}/accounts/a/tokens`, { method: 'POST', as: 'root', json });
    const as = basic('a', (await made.json()).token);
    for (const path of ['images', 'decisions'] as const) {
      const document = await (await ask(`${API}/${path}`, { as })).json();
      expect(document[path].map(({ image }) => image)).toEqual(['docker.io/b/app:latest']);
    }
  });

  test('contains the gaps of repositories that it may push to; an administrator sees all', async () => {
    const { ask } = await site();
    const gaps = async (as: string) =>
      (await (await ask(`${API}/gaps`, { as })).json()).gaps.map(({ image }) => image);
    expect(await gaps('root')).toEqual(['docker.io/a/app:latest', 'docker.io/b/app:latest']);
    expect(await gaps('a')).toEqual(['docker.io/a/app:latest']);
    expect(await gaps('b')).toEqual([]);
    expect((await ask(`${API}/gaps`)).status).toBe(401);
  });
});
