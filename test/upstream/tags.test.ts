import { describe, expect, test } from 'vitest';
import { RegistryError } from '../../src/oci/registry-error.ts';
import { upstreamAt } from '../../src/upstream/settings.ts';
import { listTags } from '../../src/upstream/tags.ts';
import { type Handler, startServer } from '../support/hostile-registry.ts';
import { longestTurnMs } from '../support/loop-blocks.ts';
import { closing, repository, upstreamTo } from '../support/upstream.ts';

const app = repository('team/app');
const REPLY = { headers: {}, url: new URL('http://registry.invalid/'), target: '/v2/team/app/tags/list' };

/** A registry that answers `/tags/list` with what `list` makes of the query. */
async function listing(list: (query: URLSearchParams) => { tags: unknown; link?: string }) {
  const handler: Handler = (request, response) => {
    const { tags, link } = list(new URL(request.url ?? '', 'http://registry.invalid').searchParams);
    response.writeHead(200, { 'content-type': 'application/json', ...(link ? { link } : {}) });
    response.end(JSON.stringify({ name: 'team/app', tags }));
  };
  const server = closing(await startServer(handler));
  return { server, upstream: upstreamTo(upstreamAt(server.url)) };
}

/** Pages as the spec has them: `n` tags after `last`, and a Link while there are more; at most `most` at once. */
function specPages(all: readonly string[], most: number) {
  return (query: URLSearchParams) => {
    const fresh = all.filter((tag) => tag > (query.get('last') ?? ''));
    const tags = fresh.slice(0, Math.min(most, Number(query.get('n') ?? most)));
    const link = `</v2/team/app/tags/list?n=${tags.length}&last=${tags.at(-1)}>; rel="next"`;
    return { tags, ...(tags.length < fresh.length ? { link } : {}) };
  };
}

describe('a registry that pages tags as the spec defines', () => {
  const all = ['a', 'b', 'c', 'd', 'e'];

  test('gets a request for one page only, and the response links to the next', async () => {
    const { server, upstream } = await listing(specPages(all, 100));
    expect(await upstream.tags(app, { limit: 2, after: 'b' })).toEqual({ tags: ['c', 'd'], next: 'd' });
    expect(server.requests.map(({ target }) => target)).toEqual(['/v2/team/app/tags/list?n=2&last=b']);
  });

  test('serves pages that are shorter than requested', async () => {
    const { upstream } = await listing(specPages(all, 2));
    expect(await upstream.tags(app, { limit: 100 })).toEqual({ tags: ['a', 'b'], next: 'b' });
  });

  test('serves its first page alone when no more tags are requested, with a link to the next', async () => {
    const { server, upstream } = await listing(specPages(all, 2));
    expect(await upstream.tags(app, { first: 100 })).toEqual({ tags: ['a', 'b'], next: 'b' });
    expect(server.requests.map(({ target }) => target)).toEqual(['/v2/team/app/tags/list']);
  });

  test('is followed to the end when its last tags are requested', async () => {
    const { upstream } = await listing(specPages(all, 2));
    expect(await upstream.tags(app, { last: 2 })).toEqual({ tags: ['d', 'e'] });
  });

  test('is followed to the end without a limit', async () => {
    const { server, upstream } = await listing(specPages(all, 2));
    expect(await upstream.tags(app)).toEqual({ tags: all, next: undefined });
    expect(server.requests).toHaveLength(3);
  });
});

describe('a registry that pages tags in its own way', () => {
  const newestFirst = ['v9', 'v10', 'latest', 'a'];
  /** Quay's way: newest first, and a token of its own for the next page. */
  const ownPages = (query: URLSearchParams) => {
    const start = Number(query.get('next_page') ?? 0);
    const link = `</v2/team/app/tags/list?next_page=${start + 2}>; rel="next"`;
    return { tags: newestFirst.slice(start, start + 2), ...(start + 2 < 4 ? { link } : {}) };
  };

  test('is read completely, so that no tag is lost', async () => {
    const { upstream } = await listing(ownPages);
    expect(await upstream.tags(app)).toEqual({ tags: ['a', 'latest', 'v10', 'v9'], next: undefined });
  });

  test('is split into pages of the spec', async () => {
    const { upstream } = await listing(ownPages);
    expect(await upstream.tags(app, { limit: 3 })).toEqual({ tags: ['a', 'latest', 'v10'], next: 'v10' });
    expect(await upstream.tags(app, { limit: 3, after: 'v10' })).toEqual({ tags: ['v9'], next: undefined });
  });
});

describe('an unusual list of tags', () => {
  test('of null, from a repository that has lost its last tag, is empty', async () => {
    const { upstream } = await listing(() => ({ tags: null }));
    expect(await upstream.tags(app)).toEqual({ tags: [], next: undefined });
  });

  test('is cleaned of invalid tags and duplicates', async () => {
    const { upstream } = await listing(() => ({ tags: ['ok', 7, '../etc', 'a\r\nb', '', null, 'ok'] }));
    expect(await upstream.tags(app)).toEqual({ tags: ['ok'], next: undefined });
  });

  test.each([
    ['to itself', '</v2/team/app/tags/list?last=a>; rel="next"', 2],
    ['to itself without a query', '</v2/team/app/tags/list>; rel="next"', 1],
    ['to the first page', '<?n=&last=>; rel="next"', 2],
  ])('ends at a Link %s', async (_, link, requests) => {
    const { server, upstream } = await listing(() => ({ tags: ['a', 'b'], link }));
    expect((await upstream.tags(app)).tags).toEqual(['a', 'b']);
    expect(server.requests).toHaveLength(requests);
  });

  test('with endless links to new pages is abandoned after 500 of them', async () => {
    let page = 0;
    const { server, upstream } = await listing(() => {
      page += 1;
      return { tags: ['a', 'b'], link: `</v2/team/app/tags/list?page=${page}>; rel="next"` };
    });
    await expect(upstream.tags(app)).rejects.toThrow('does not end');
    expect(server.requests.length).toBe(500);
  });

  test('of a hundred and fifty thousand tags on a page after the first is complete', async () => {
    const many = Array.from({ length: 150_000 }, (_, at) => `v${at}`);
    const { upstream } = await listing((query) =>
      query.has('p')
        ? { tags: many }
        : { tags: ['z', 'a'], link: '</v2/team/app/tags/list?p=2>; rel="next"' },
    );
    expect((await upstream.tags(app)).tags).toHaveLength(150_002);
  });

  test('with an extreme number of tags is not sorted for every request', async () => {
    const { upstream } = await listing(() => ({ tags: Array(500_001).fill('a') }));
    await expect(upstream.tags(app)).rejects.toThrow('more than 500000 tags');
  });

  test('with a Link to another host is continued at the same host', async () => {
    const elsewhere = closing(await startServer((_, response) => void response.end('{"tags":[]}')));
    const { server, upstream } = await listing((query) =>
      query.has('last') ? { tags: ['b'] } : { tags: ['a'], link: `<${elsewhere.url}/x?last=a>; rel="next"` },
    );
    expect(await upstream.tags(app)).toEqual({ tags: ['a', 'b'], next: undefined });
    expect(elsewhere.connections().made).toBe(0);
    expect(server.requests.map(({ target }) => target)).toEqual([
      '/v2/team/app/tags/list',
      '/v2/team/app/tags/list?last=a',
    ]);
  });

  test.each([['no list'], [{}], [undefined]])('of the form %j is an error', async (tags) => {
    const { upstream } = await listing(() => ({ tags }));
    await expect(upstream.tags(app)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});

describe('lists of tags made to consume time or memory', () => {
  const HELD = 'holds the event loop for less than 50 ms of CPU time';
  const many = (count: number, tagOf: (at: number) => unknown) =>
    JSON.stringify({ tags: Array.from({ length: count }, (_, at) => tagOf(at)) });
  test.each([
    ['half a million tags in no order', many(490_000, (at) => `t${((at * 7919) % 1_000_003).toString(36)}`)],
    ['16 MiB of long tags', many(120_000, (at) => `t${String(at).padStart(120, '0')}`)],
    ['ten million values', `{"tags":[${'1,'.repeat(7_000_000)}1]}`],
    ['seven million levels', `{"tags":${'['.repeat(7_000_000)}`],
    [
      'a million names',
      `{"tags":[],"x":{${Array.from({ length: 900_000 }, (_, at) => `"${at}":1`).join(',')}}}`,
    ],
  ])(`a body of %s ${HELD}`, async (_, body) => {
    const bytes = Buffer.from(body);
    const fetch = async () => ({ body: bytes, reply: REPLY });
    const ask = () => listTags(fetch, { first: 10_000 }, () => 0).catch((error: unknown) => error);
    // The thread starts with the first.
    await ask();
    expect(await longestTurnMs(ask)).toBeLessThan(50);
  });

  test.each([
    [32 * 2 ** 20, 'did not answer with a list of tags'],
    [32 * 2 ** 20 + 1, 'the list of tags does not end: MetaHub stopped after 33554432 bytes'],
  ])('a list of %d bytes without a tag: %s', async (sizeBytes, message) => {
    const body = Buffer.alloc(sizeBytes);
    await expect(
      listTags(
        async () => ({ body, reply: REPLY }),
        {},
        () => 0,
      ),
    ).rejects.toThrow(message);
  });

  test('large lists in progress beyond 64 MiB are refused with 503, and accepted when others end', async () => {
    const body = Buffer.from(many(100_000, (at) => `t${String(at).padStart(120, '0')}`));
    let release = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const fetch = async (query: string) => {
      if (query !== '') await released;
      const headers: Record<string, string> = query === '' ? { link: '<?p=2>; rel="next"' } : {};
      return query === ''
        ? { body, reply: { ...REPLY, headers } }
        : { body: Buffer.from('{"tags":["z"]}'), reply: REPLY };
    };
    const asked = Array.from({ length: 6 }, () => listTags(fetch, {}, () => 0));
    const refused = await Promise.any(
      asked.map((one) =>
        one.then(
          () => Promise.reject(new Error('taken')),
          (e) => e,
        ),
      ),
    );
    if (!(refused instanceof RegistryError)) throw refused;
    expect(refused).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
    release();
    const outcomes = await Promise.allSettled(asked);
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(5);
    expect((await listTags(fetch, { last: 1 }, () => 0)).tags).toEqual(['z']);
  });

  test('a list whose pages arrive slowly is abandoned after a minute', async () => {
    let nowMs = 0;
    let page = 0;
    const fetch = async () => {
      nowMs += 10_000;
      page += 1;
      const headers = { link: `<?p=${page}>; rel="next"` };
      return { body: Buffer.from('{"tags":["a"]}'), reply: { ...REPLY, headers } };
    };
    await expect(listTags(fetch, {}, () => nowMs)).rejects.toThrow('MetaHub stopped after 60 s');
    expect(page).toBe(7);
  });
});
