import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readWebhookSecrets, WebhookSecretError } from '../../../src/cli/serve/webhook-secret.ts';
import { temporaryFolder } from '../../support/folder.ts';

const secretOf = (bytes: number) => `whsec_${Buffer.alloc(bytes, 7).toString('base64')}`;

/** The sizes of the secrets in a file of this text and mode; undefined when it is refused. */
async function sizesIn(text: string, mode = 0o600): Promise<readonly number[] | undefined> {
  const file = join(temporaryFolder(), 'webhook.secret');
  writeFileSync(file, text);
  chmodSync(file, mode);
  try {
    return (await readWebhookSecrets(file)).map(({ length }) => length);
  } catch (error) {
    expect(error).toBeInstanceOf(WebhookSecretError);
    return undefined;
  }
}

describe('readWebhookSecrets()', () => {
  test.each([
    [23, undefined],
    [24, [24]],
    [64, [64]],
    [65, undefined],
  ])('of a secret of %d bytes reads %o', async (bytes, sizes) => {
    expect(await sizesIn(secretOf(bytes))).toEqual(sizes);
  });

  test.each([
    [1024, [24, 32]],
    [1025, undefined],
  ])('of a file of %d bytes with two secrets reads %o', async (characters, sizes) => {
    expect(await sizesIn(`${secretOf(24)}\n${secretOf(32)}\n`.padEnd(characters, '\n'))).toEqual(sizes);
  });

  test('refuses a file in which one line is no secret', async () => {
    expect(await sizesIn(`${secretOf(24)}\n${secretOf(23)}\n`)).toBeUndefined();
    expect(await sizesIn('')).toBeUndefined();
  });

  test.each([0o604, 0o602, 0o620])('refuses a file of mode %o', async (mode) => {
    expect(await sizesIn(secretOf(24), mode)).toBeUndefined();
  });
});
