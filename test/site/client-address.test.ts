import { describe, expect, test } from 'vitest';
import { clientAddressBehind } from '../../src/site/client-address.ts';
import { openTestSite } from '../support/site.ts';

describe('the client’s address', () => {
  test.each([
    ['a client of its own', '192.0.2.9', undefined, '192.0.2.9'],
    ['a client that pretends', '192.0.2.9', '10.1.1.1', '192.0.2.9'],
    ['nginx beside the mirror', '127.0.0.1', '192.0.2.9', '192.0.2.9'],
    ['nginx on IPv6', '::ffff:127.0.0.1', '192.0.2.9', '192.0.2.9'],
    ['a client behind nginx that pretends', '127.0.0.1', '10.1.1.1, 192.0.2.9', '192.0.2.9'],
    ['two proxies of ours', '127.0.0.1', '192.0.2.9, 203.0.113.7', '192.0.2.9'],
    ['nginx that says nothing', '127.0.0.1', undefined, '127.0.0.1'],
    ['nonsense', '127.0.0.1', 'unknown', '127.0.0.1'],
  ])('is found for %s', (_, remote, forwarded, address) => {
    const clientAddress = clientAddressBehind(['127.0.0.0/8', '203.0.113.0/24']);
    const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded };
    expect(clientAddress(remote, headers)).toBe(address);
  });

  test.each(['127.0.0.1', '::1', '::ffff:127.0.0.1'])(
    'is the connection’s (%s) when no proxy is declared',
    (remote) => {
      const clientAddress = clientAddressBehind([]);
      expect(clientAddress(remote, { 'x-forwarded-for': '192.0.2.9' })).toBe(remote.replace('::ffff:', ''));
    },
  );

  test('calls onIgnored once for an undeclared proxy on this machine', () => {
    const ignored: string[] = [];
    const clientAddress = clientAddressBehind([], (proxy) => ignored.push(proxy));
    clientAddress('127.0.0.1', {});
    clientAddress('192.0.2.9', { 'x-forwarded-for': '10.0.0.1' });
    expect(ignored).toEqual([]);
    for (let request = 0; request < 3; request += 1) {
      clientAddress('127.0.0.1', { 'x-forwarded-for': '192.0.2.9' });
    }
    expect(ignored).toEqual(['127.0.0.1']);
    const declared = clientAddressBehind(['127.0.0.1'], (proxy) => ignored.push(proxy));
    declared('127.0.0.1', { 'x-forwarded-for': '192.0.2.9' });
    expect(ignored).toHaveLength(1);
  });

  test('refuses a proxy that is not an address', () => {
    expect(() => clientAddressBehind(['nginx'])).toThrow('“nginx” is not the address');
  });

  test('of a site is logged once when it ignores an undeclared proxy, with the option that declares it', async () => {
    const lines: unknown[] = [];
    const log = (...line: readonly unknown[]) => void lines.push(line);
    const [undeclared, declared] = [
      await openTestSite({ log }),
      await openTestSite({ log, proxies: ['127.0.0.1'] }),
    ];
    const headers = { 'x-forwarded-for': '192.0.2.9' };
    for (const site of [undeclared, undeclared, declared]) {
      await site.gate.admit({ headers, remoteAddress: '127.0.0.1' });
    }
    const ignored = 'ignoring X-Forwarded-For from 127.0.0.1: declare the proxy with --proxies 127.0.0.1';
    const refused = (address: string) => [
      ...['info', 'access-refused', 'access refused: the request has no credentials'],
      expect.objectContaining({ address, reason: 'no-credentials' }),
    ];
    expect(lines).toEqual([
      ['warning', 'forwarded-address-ignored', ignored, { proxy: '127.0.0.1' }],
      ...['127.0.0.1', '127.0.0.1', '192.0.2.9'].map(refused),
    ]);
  });
});
