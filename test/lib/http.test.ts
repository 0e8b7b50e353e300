import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { addHop, isLoop, readLimited, readVia } from '../../src/lib/http.ts';

test('isLoop() is false for a request without Via', () => {
  expect(isLoop(undefined, 'metahub-a')).toBe(false);
  expect(isLoop('', 'metahub-a')).toBe(false);
});

test('isLoop() detects a mirror’s own hop, also behind others, and no other mirror’s', () => {
  const throughTwo = addHop(addHop(undefined, 'metahub-a'), 'metahub-b');
  expect(throughTwo).toBe('1.1 metahub-a, 1.1 metahub-b');
  expect(isLoop(throughTwo, 'metahub-a')).toBe(true);
  expect(isLoop(throughTwo, 'metahub-b')).toBe(true);
  expect(isLoop(throughTwo, 'metahub')).toBe(false);
});

test.each(['1.1   metahub-a', '1.1\tmetahub-a', ' 1.1 metahub-a', '1.1 other,1.1  metahub-a'])(
  'isLoop() detects the mirror’s hop with any white space of a proxy: %j',
  (via) => {
    expect(isLoop(via, 'metahub-a')).toBe(true);
  },
);

test('addHop() creates a Via header where there is none', () => {
  expect(addHop('', 'metahub-a')).toBe('1.1 metahub-a');
  expect(addHop(undefined, 'metahub-a')).toBe('1.1 metahub-a');
});

test('isLoop() is true for a chain of too many mirrors even without the mirror’s own hop', () => {
  let via: string | undefined;
  for (let hop = 0; hop < 7; hop++) via = addHop(via, `proxy-${hop}`);
  expect(isLoop(via, 'metahub-a')).toBe(false);
  expect(isLoop(addHop(via, 'proxy-7'), 'metahub-a')).toBe(true);
});

test.each([
  ['1.1 metahub-0123456789ab', '1.1 metahub-0123456789ab'],
  ['1.1 vegur, HTTP/2.0 proxy.example:8080', '1.1 vegur, HTTP/2.0 proxy.example:8080'],
  ['1.0 fred,1.1 [2001:db8::1]:80', '1.0 fred, 1.1 [2001:db8::1]:80'],
  ['1.1 cache (Varnish/7.1; cache)', '1.1 cache'],
  ['1.1 cache (one, two), 1.1 next', '1.1 cache, 1.1 next'],
  ['1.1 cache (outer (inner, \\) still) comment)', '1.1 cache'],
  ['1.1 cache (<script>union select)', '1.1 cache'],
  ['1.1 a, , 1.1 b,', '1.1 a, 1.1 b'],
  ['HTTP/1.1 a', 'HTTP/1.1 a'],
  ['1.1 \t gateway', '1.1 \t gateway'],
  ['1.1 a (x)(y)', '1.1 a'],
  [`1.1 ${'a'.repeat(1020)}`, `1.1 ${'a'.repeat(1020)}`],
])('readVia() keeps the hops of %s and drops its comments', (via, expected) => {
  expect(readVia(via)).toBe(expected);
});

test.each([
  'x',
  '',
  '(comment)',
  '1.1 a b',
  '1.1 \u00e9',
  "1.1 a' OR 1=1",
  '1.1 ../../etc/passwd',
  '1.1 a (open',
  '1.1 a) closed',
  `1.1 ${'a'.repeat(1021)}`,
  '1.1 a, x',
  'x, 1.1 a',
  '/1.1 a',
  '!1.1 a',
  'HTTP/ a',
  '1.1 a!',
  '1.1\u00a0a',
  '(a))(1.1 b',
  '1.1 a (x\\)',
])('readVia() refuses %s, which no mirror or proxy writes', (via) => {
  expect(readVia(via)).toBeUndefined();
});

describe('readLimited()', () => {
  afterEach(() => void vi.useRealTimers());

  const request = (parts: readonly string[], end = true) => {
    const message = new IncomingMessage(new Socket());
    for (const part of parts) message.push(part);
    if (end) message.push(null);
    return message;
  };

  test('reads a body of the maximum size, and not one of a byte more', async () => {
    expect(String(await readLimited(request(['ab', 'cd']), 4))).toBe('abcd');
    expect(await readLimited(request(['ab', 'cde']), 4)).toBeUndefined();
  });

  test('does not read a body that announces more', async () => {
    const announced = request([], false);
    announced.headers['content-length'] = '5';
    expect(await readLimited(announced, 4)).toBeUndefined();
  });

  test('destroys a request whose body has not arrived after ten seconds', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const slow = request(['a'], false);
    const reading = readLimited(slow, 4).catch((error: NodeJS.ErrnoException) => error.code);
    vi.advanceTimersByTime(9_999);
    expect(slow.destroyed).toBe(false);
    vi.advanceTimersByTime(1);
    expect(slow.destroyed).toBe(true);
    expect(await reading).toBe('ERR_STREAM_PREMATURE_CLOSE');
  });
});
