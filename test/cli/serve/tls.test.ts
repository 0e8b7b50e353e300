import { EventEmitter, once } from 'node:events';
import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
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
  identity.onRenewed(
    () => note('shown'),
    (_, event) => note(event),
  );
  return { folder, install, events, next: () => once(heard, 'event') };
}

test('a renewed pair is shown once, and other files of the folder change nothing', async () => {
  const { folder, install, events, next } = await followed();
  writeFileSync(join(folder, 'README'), 'not a certificate');
  // That nothing happens can only be waited for: longer than a renewal takes to settle.
  await setTimeout(800);
  expect(events).toEqual([]);
  const shown = next();
  await install(['cert', 'key']);
  await shown;
  expect(events).toEqual(['shown', 'certificate-renewed']);
});

test('a pair that does not belong together is complained of, and the former one stays', async () => {
  const { install, events, next } = await followed();
  const said = next();
  await install(['key']);
  await said;
  expect(events).toEqual(['certificate-unusable']);
});
