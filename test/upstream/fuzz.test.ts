import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseTag } from '../../src/oci/reference.ts';
import { RegistryError } from '../../src/oci/registry-error.ts';
import { normalizeKey, readDockerConfig } from '../../src/upstream/auth/credentials.ts';
import { parseChallenges, readToken } from '../../src/upstream/auth/token.ts';
import type { Reply } from '../../src/upstream/http/transport.ts';
import { proxyFor } from '../../src/upstream/net/dial.ts';
import { apiRootOf } from '../../src/upstream/settings.ts';
import { readTagPages } from '../../src/upstream/tag-pages.ts';
import { listTags } from '../../src/upstream/tags.ts';
import { cpuTimeMs } from '../support/cpu-time.ts';
import { FUZZ_RUNS } from '../support/fuzz.ts';

const RUNS = { numRuns: FUZZ_RUNS };
const token = fc.stringMatching(/^[A-Za-z][A-Za-z0-9_-]{0,15}$/);
/** What a header may hold at all: Node's parser refuses the rest. */
const headerText = fc.string({ unit: fc.constantFrom(...' ,="\\;/:.azAZ09_-~\t'), maxLength: 200 });

function replyWith(headers: Readonly<Record<string, string>>): Reply {
  const body = { read: async () => {}, cancel: () => {} };
  const target = '/v2/app/tags/list';
  return { status: 200, headers, url: new URL(`http://registry.test${target}`), target, body };
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Runs `parse`, for which a RegistryError is the only way to fail; undefined then. */
function orRefused<Value>(parse: () => Value): Value | undefined {
  try {
    return parse();
  } catch (error) {
    expect(error).toBeInstanceOf(RegistryError);
    return undefined;
  }
}

describe('parseChallenges()', () => {
  test('parses any challenges written according to the RFC to the same values', () => {
    const challenge = fc.record({
      scheme: token,
      parameters: fc.uniqueArray(fc.tuple(token, fc.string({ maxLength: 30 })), {
        minLength: 1,
        maxLength: 5,
        selector: ([name]) => name.toLowerCase(),
      }),
    });
    const quote = (value: string) => `"${value.replaceAll(/["\\]/g, '\\$&')}"`;
    fc.assert(
      fc.property(fc.array(challenge, { minLength: 1, maxLength: 3 }), (challenges) => {
        const header = challenges
          .map(
            ({ scheme, parameters }) =>
              `${scheme} ${parameters.map(([n, v]) => `${n}=${quote(v)}`).join(', ')}`,
          )
          .join(', ');
        fc.pre(header.length < 8000);
        expect(parseChallenges(header).map(({ scheme, parameters }) => [scheme, [...parameters]])).toEqual(
          challenges.map(({ scheme, parameters }) => [
            scheme.toLowerCase(),
            parameters.map(([name, value]) => [name.toLowerCase(), value]),
          ]),
        );
      }),
      RUNS,
    );
  });

  test('accepts any text in bounded time, and never throws', () => {
    fc.assert(
      fc.property(fc.oneof(headerText, fc.string({ maxLength: 300 })), (header) => {
        for (const { scheme } of parseChallenges(header)) expect(scheme).not.toBe('');
      }),
      RUNS,
    );
  });

  test.each(['"', '\\"', '="\\', ' ,', 'a=', '=""', 'a "', '\\'])(
    'parses %s, a hundred thousand times, without noticeable time',
    (part) => {
      const takenMs = cpuTimeMs(() => {
        parseChallenges(`Bearer realm="${part.repeat(100_000)}`);
        parseChallenges(part.repeat(100_000));
      });
      expect(takenMs).toBeLessThan(1000);
    },
  );
});

describe('readDockerConfig()', () => {
  test('reads any JSON without throwing', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        const { logins, helpers } = readDockerConfig(value);
        expect([...logins.keys(), ...helpers.keys()].every((key) => normalizeKey(key) === key)).toBe(true);
      }),
      RUNS,
    );
  });

  test('returns only logins and plain program names for any auths and helpers', () => {
    const host = fc.oneof(token, fc.constantFrom('ghcr.io', 'https://index.docker.io/v1/', 'x:5000/team'));
    const auths = fc.dictionary(host, fc.oneof(fc.jsonValue(), fc.record({ auth: fc.base64String() })));
    const credHelpers = fc.dictionary(host, fc.oneof(fc.string(), fc.jsonValue()));
    fc.assert(
      fc.property(fc.record({ auths, credHelpers, credsStore: fc.string() }), (config) => {
        const { logins, helpers, defaultHelper } = readDockerConfig(config);
        for (const login of logins.values()) {
          if (login.kind === 'basic') expect(login.username).not.toMatch(/:|^$/);
        }
        for (const helper of [...helpers.values(), defaultHelper ?? 'x']) expect(helper).not.toContain('/');
      }),
      RUNS,
    );
  });
});

describe('readToken()', () => {
  test('returns a token that fits in a header and a lifetime, or fails', () => {
    const answer = fc.record(
      {
        token: fc.oneof(fc.string(), fc.jsonValue()),
        access_token: fc.oneof(token, fc.jsonValue()),
        expires_in: fc.oneof(fc.double(), fc.integer(), fc.string(), fc.jsonValue()),
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(fc.oneof(answer, fc.jsonValue()), (document) => {
        const read = orRefused(() => readToken(Buffer.from(JSON.stringify(document) ?? ''), 'auth.test'));
        fc.pre(read !== undefined);
        expect(read.text).toMatch(/^[\x21-\x7e]+$/);
        expect(read.lifetimeMs).toBeGreaterThan(0);
      }),
      { ...RUNS, examples: [[{ access_token: 'A', expires_in: { toString: null } }]] },
    );
  });

  test('fails for any bytes that are not JSON', () => {
    let reached = 0;
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        if (isJson(Buffer.from(bytes).toString('utf8'))) return;
        expect(orRefused(() => readToken(Buffer.from(bytes), 'auth.test'))).toBeUndefined();
        reached += 1;
      }),
      RUNS,
    );
    expect(reached).toBeGreaterThan(FUZZ_RUNS / 2);
  });
});

describe('pages of tags', () => {
  test('readTagPages() returns only valid tags, or fails', () => {
    const document = fc.oneof(
      fc.record({ tags: fc.oneof(fc.array(fc.oneof(token, fc.string())), fc.jsonValue()) }),
      fc.jsonValue(),
    );
    fc.assert(
      fc.property(document, (value) => {
        const result = readTagPages({ bodies: [Buffer.from(JSON.stringify(value))], bounds: {} });
        const tags = result.kind === 'read' ? result.page.tags : [];
        expect(tags.every((tag) => parseTag(tag) !== undefined)).toBe(true);
      }),
      RUNS,
    );
  });

  test('listTags() returns every tag once, sorted, when `next` is followed, whatever the registry’s order and pages', async () => {
    const tags = fc.uniqueArray(token, { maxLength: 40 });
    const sizes = { pageSize: fc.integer({ min: 1, max: 10 }), limit: fc.integer({ min: 1, max: 10 }) };
    const registry = fc.record({ tags, isSorted: fc.boolean(), heedsLast: fc.boolean(), ...sizes });
    await fc.assert(
      fc.asyncProperty(registry, async ({ tags: written, isSorted, heedsLast, pageSize, limit }) => {
        const sorted = [...written].sort((a, b) => (a < b ? -1 : 1));
        const kept = isSorted ? sorted : written;
        const fetchPage = async (query: string) => {
          const isSpec = isSorted && heedsLast;
          const { last, from = '0' } = Object.fromEntries(new URLSearchParams(query));
          const start =
            isSpec && last !== undefined ? kept.filter((tag) => tag <= last).length : Number(from);
          const page = kept.slice(start, start + pageSize);
          const cursor = isSpec ? { last: page.at(-1) ?? '' } : { from: String(start + pageSize) };
          const isLast = start + pageSize >= kept.length;
          const next = isLast ? undefined : new URLSearchParams(cursor).toString();
          const link = next === undefined ? {} : { link: `</v2/app/tags/list?${next}>; rel="next"` };
          return { body: Buffer.from(JSON.stringify({ tags: page })), reply: replyWith(link) };
        };
        const seen: string[] = [];
        let after: string | undefined;
        for (let pages = 0; pages <= written.length; pages += 1) {
          const page = await listTags(fetchPage, { limit, after }, () => 0);
          expect(page.tags.length).toBeLessThanOrEqual(limit);
          seen.push(...page.tags);
          after = page.next;
          if (after === undefined) break;
        }
        expect(seen).toEqual(sorted);
      }),
      RUNS,
    );
  });
});

describe('settings', () => {
  test('apiRootOf() returns a root without a login or a final slash, or throws a TypeError', () => {
    const url = fc.oneof(
      { arbitrary: fc.webUrl(), weight: 3 },
      { arbitrary: fc.webUrl({ withQueryParameters: true, withFragments: true }), weight: 1 },
      { arbitrary: fc.webUrl({ authoritySettings: { withUserInfo: true } }), weight: 2 },
      { arbitrary: fc.string(), weight: 1 },
      { arbitrary: headerText, weight: 1 },
    );
    let roots = 0;
    fc.assert(
      fc.property(url, (text) => {
        try {
          const root = apiRootOf(text);
          roots += 1;
          expect(root.pathname.split('/')).toContain('v2');
          expect([root.username, root.password]).toEqual(['', '']);
          expect(root.href).not.toMatch(/[/?#]$/);
        } catch (error) {
          expect(error).toBeInstanceOf(TypeError);
        }
      }),
      RUNS,
    );
    expect(roots).toBeGreaterThan(FUZZ_RUNS / 4);
  });

  test('proxyFor() returns the proxy or nothing for any NO_PROXY', () => {
    const target = fc.constantFrom('https://ghcr.io/', 'https://10.0.0.1:5000/', 'https://[2001:db8::1]/');
    const noProxy = fc.oneof(
      headerText,
      fc.string({ unit: fc.constantFrom(...'*.,:/[]0123456789abcdefgh') }),
    );
    fc.assert(
      fc.property(target, noProxy, (text, rules) => {
        const proxy = proxyFor(new URL(text), { https: 'http://proxy.example:3128', noProxy: rules });
        expect([undefined, 'http://proxy.example:3128/']).toContain(proxy?.href);
      }),
      RUNS,
    );
  });
});
