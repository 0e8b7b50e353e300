import { describe, expect, test } from 'vitest';
import { exposureProblem } from '../../src/site/site.ts';

const SAFE = {
  host: '127.0.0.1',
  tls: false,
  insecureLogins: false,
  demo: false,
  demoListenAnywhere: false,
};

describe('exposureProblem()', () => {
  test.each(['127.0.0.1', '127.1.2.3', '::1', 'localhost'])('allows logins on %s', (host) => {
    expect(exposureProblem({ ...SAFE, host, demo: true })).toBeUndefined();
  });

  test('refuses passwords in clear text on a network, unless TLS or the operator’s consent allows them', () => {
    const network = { ...SAFE, host: '0.0.0.0' };
    expect(exposureProblem(network)?.nextStep).toContain('--insecure-logins on');
    expect(exposureProblem({ ...network, tls: true })).toBeUndefined();
    expect(exposureProblem({ ...network, insecureLogins: true })).toBeUndefined();
  });

  // An account with a known password is open to every client that reaches the port.
  test('CVE-2026-4404: refuses the demonstration’s well-known passwords on a network, with or without a certificate', () => {
    const demo = { ...SAFE, host: '0.0.0.0', demo: true, insecureLogins: true };
    for (const tls of [false, true]) {
      expect(exposureProblem({ ...demo, tls })?.nextStep).toContain('--demo-listen-anywhere on');
      expect(exposureProblem({ ...demo, tls, demoListenAnywhere: true })).toBeUndefined();
    }
  });

  test('refuses passwords in clear text even with demoListenAnywhere', () => {
    const demo = { ...SAFE, host: '0.0.0.0', demo: true, demoListenAnywhere: true };
    expect(exposureProblem(demo)?.nextStep).toContain('--insecure-logins on');
  });

  test('says why, and each way out', () => {
    const network = { ...SAFE, host: '192.0.2.1' };
    expect(exposureProblem(network)).toEqual({
      why: 'logins on 192.0.2.1 would send passwords over the network in clear text',
      nextStep:
        'Set --tls-cert and --tls-key, listen on 127.0.0.1 behind a proxy that terminates TLS, or accept the risk with --insecure-logins on.',
    });
    expect(exposureProblem({ ...network, tls: true, demo: true })).toEqual({
      why: 'the demonstration’s accounts have public passwords, and 192.0.2.1 is open to the network',
      nextStep:
        'Listen on 127.0.0.1, serve accounts of your own with --machines DIR, or accept the risk with --demo-listen-anywhere on.',
    });
  });
});
