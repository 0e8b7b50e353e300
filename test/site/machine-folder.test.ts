import { expect, test } from 'vitest';
import { openMachineFolder } from '../../src/site/machine-folder.ts';
import { MachineReader } from '../../src/site/machine-reader.ts';
import { hashed, machineFolder } from '../support/site.ts';

const hashAt = (at: number) => String(at).padStart(43, 'x');

/** A folder of one account with this token, while another replica says that tokens are gone. */
async function folderWith(sha256: string) {
  const file = `user: ci\npassword: "${await hashed('hush')}"\ntokens: [{ name: job, sha256: ${sha256} }]\n`;
  const clock = { ms: 0 };
  const folder = await openMachineFolder({
    reader: new MachineReader(await machineFolder({ 'ci.yaml': file })),
    fixed: [],
    log: () => {},
    now: () => clock.ms,
  });
  return {
    clock,
    reportGone: (gone: readonly string[]) => folder.reread({ gone, back: [] }),
    isOpen: () => folder.directory().tokenOf('ci', sha256) !== undefined,
  };
}

test('a token that another replica reports as revoked is refused for ten minutes, though the folder has it', async () => {
  const { clock, reportGone, isOpen } = await folderWith(hashAt(0));
  expect(isOpen()).toBe(true);
  await reportGone([hashAt(0)]);
  expect(isOpen()).toBe(false);
  clock.ms = 599_999;
  await reportGone([hashAt(1)]);
  expect(isOpen()).toBe(false);
  clock.ms = 600_000;
  await reportGone([hashAt(2)]);
  expect(isOpen()).toBe(true);
});

test('ten thousand tokens are refused at once, those that were reported last', async () => {
  const { reportGone, isOpen } = await folderWith(hashAt(0));
  await reportGone(Array.from({ length: 10_000 }, (_, at) => hashAt(at)));
  expect(isOpen()).toBe(false);
  // Whether a token is refused counts as a use.
  await reportGone([...Array.from({ length: 9_999 }, (_, at) => hashAt(at + 1)), hashAt(10_000)]);
  expect(isOpen()).toBe(true);
});
