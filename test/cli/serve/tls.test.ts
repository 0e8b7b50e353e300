import { EventEmitter, once } from 'node:events';
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { openTlsIdentity } from '../../../src/cli/serve/tls.ts';
import { createAuthority } from '../../support/certificates.ts';
import { dataDirectory } from '../../support/store.ts';
import { afterTest } from '../../support/upstream.ts';

/** A certificate that is followed, and what was said and shown of it. */
async function followed() {
  const authority = await createAuthority();
  afterTest(() => authority.remove());
  const folder = await dataDirectory();
  const files = { tlsCert: join(folder, 'site.crt'), tlsKey: join(folder, 'site.key') };
  const install = async (parts: readonly ('cert' | 'key')[]) => {
    const { certFile, keyFile } = await authority.issue('localhost');
    if (parts.includes('cert')) copyFileSync(certFile, files.tlsCert);
    if (parts.includes('key')) copyFileSync(keyFile, files.tlsKey);
  };
  await install(['cert', 'key']);
  const identity = await openTlsIdentity(files);
  if (identity === undefined) throw new Error('there is no identity');
  afterTest(() => identity.close());
  const events: string[] = [];
  const heard = new EventEmitter();
  const note = (event: string) => {
    events.push(event);
    heard.emit('event');
  };
  const shown: string[] = [];
  identity.onRenewed(
    ({ cert }) => {
      shown.push(String(cert));
      note('shown');
    },
    (_, event) => note(event),
  );
  return { folder, install, events, shown, next: () => once(heard, 'event') };
}

test('a renewed certificate is reported once, and changes of other files in the folder are ignored', async () => {
  const { folder, install, events, shown, next } = await followed();
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  /** Looks at the folder, as it does once that has settled. */
  const settle = async () => {
    await expect.poll(() => vi.getTimerCount()).toBe(1);
    vi.runAllTimers();
  };
  writeFileSync(join(folder, 'README'), 'not a certificate');
  await settle();
  expect(events).toEqual([]);
  const renewed = next();
  await install(['cert', 'key']);
  await settle();
  await renewed;
  // Not the former one, which the other file would have had shown again.
  expect(shown).toEqual([readFileSync(join(folder, 'site.crt'), 'utf8')]);
  expect(events).toEqual(['shown', 'certificate-renewed']);
});

test('a certificate and a key that do not match are logged, and the former pair stays', async () => {
  const { install, events, next } = await followed();
  const said = next();
  await install(['key']);
  await said;
  expect(events).toEqual(['certificate-unusable']);
});
