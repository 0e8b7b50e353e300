import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Log } from '../../src/lib/log.ts';
import { readMachineFile } from '../../src/site/machine-file.ts';
import { openMachineFolder, type TokenChanges } from '../../src/site/machine-folder.ts';
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
    ...{ clock, folder },
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

test('a token that the folder has stays refused, however many others are reported as revoked', async () => {
  const { clock, reportGone, isOpen } = await folderWith(hashAt(0));
  await reportGone([hashAt(0)]);
  for (let round = 0; round < 3; round += 1) {
    await reportGone(Array.from({ length: 10_000 }, (_, at) => hashAt(1 + 10_000 * round + at)));
    expect(isOpen()).toBe(false);
  }
  clock.ms = 600_000;
  await reportGone([hashAt(1)]);
  expect(isOpen()).toBe(true);
});

test.each([
  [9_999, false],
  [10_000, true],
])(
  'of tokens that the folder lacks, 10,000 are refused once it shows them: with %d others, open is %s',
  async (others, isOpen) => {
    const { clock, machines, write, reader } = await watched();
    const sha256 = hashAt(0);
    await machines.reread({ gone: [sha256], back: [] });
    await machines.reread({ gone: Array.from({ length: others }, (_, at) => hashAt(at + 1)), back: [] });
    await write(`user: lab\ntokens: [{ name: job, sha256: ${sha256} }]\n`);
    clock.ms += 1000;
    await machines.refresh();
    expect([reader.reads, machines.directory().tokenOf('lab', sha256) !== undefined]).toEqual([2, isOpen]);
  },
);

/** Reads a folder and counts how often; fails, or waits, as the test says. */
class TestReader extends MachineReader {
  reads = 0;
  failure: Error | undefined;
  gate: Promise<void> | undefined;

  override async read() {
    this.reads += 1;
    const accounts = await super.read();
    await this.gate;
    if (this.failure !== undefined) throw this.failure;
    return accounts;
  }
}

const FIXED = readMachineFile('user: fixed\n', 'none');

/** The folder of the account `lab`, with what it logs and reports. */
async function watched(text = 'user: lab\n') {
  const folder = await machineFolder({ 'lab.yaml': text });
  const reader = new TestReader(folder);
  const clock = { ms: 0 };
  const lines: Parameters<Log>[] = [];
  const changes: TokenChanges[] = [];
  const machines = await openMachineFolder({
    ...{ reader, fixed: [FIXED], now: () => clock.ms },
    log: (...line) => void lines.push(line),
    onChanged: (tokens) => void changes.push(tokens),
  });
  const write = (content: string, name = 'lab.yaml') => writeFile(join(folder, name), content);
  const users = () => machines.directory().accounts.map(({ user }) => user);
  /** Checks the files as a request does, a second later. */
  const check = async () => {
    clock.ms += 1000;
    await machines.refresh();
  };
  return { folder, reader, clock, lines, changes, machines, write, users, check };
}

const unreadable = () => Object.assign(new Error('EIO: i/o error'), { code: 'EIO' });

describe('a folder of machine files that is served', () => {
  test('is checked by the first request of a second, and read only when it has changed', async () => {
    const { clock, reader, machines, write, users } = await watched();
    expect([machines.isFresh(), reader.reads, users()]).toEqual([true, 1, ['fixed', 'lab']]);
    await write('user: new\n');
    clock.ms = 999;
    expect(machines.isFresh()).toBe(true);
    await machines.refresh();
    expect(reader.reads).toBe(1);
    clock.ms = 1000;
    expect(machines.isFresh()).toBe(false);
    await machines.refresh();
    expect([machines.isFresh(), reader.reads, users()]).toEqual([true, 2, ['fixed', 'new']]);
    clock.ms = 1999;
    expect(machines.isFresh()).toBe(true);
    clock.ms = 2000;
    expect(machines.isFresh()).toBe(false);
    await machines.refresh();
    expect(reader.reads).toBe(2);
  });

  test('is checked by one of the requests of a second, and the others wait for it', async () => {
    const { clock, reader, machines, write, users } = await watched();
    await write('user: new\n');
    clock.ms = 1000;
    let open = () => {};
    reader.gate = new Promise((resolve) => {
      open = resolve;
    });
    const [one, other] = [machines.refresh(), machines.refresh()];
    expect([machines.isFresh(), other]).toEqual([false, one]);
    await expect.poll(() => reader.reads).toBe(2);
    // The second counts from the end of a check.
    clock.ms = 5000;
    open();
    await one;
    expect([users(), machines.isFresh(), reader.reads]).toEqual([['fixed', 'new'], true, 2]);
  });

  test('is read at once after a change of this process, although a check is under way', async () => {
    const { clock, reader, machines, write, users } = await watched();
    await write('user: first\n');
    await machines.reread();
    expect([users(), machines.isFresh(), reader.reads]).toEqual([['fixed', 'first'], true, 2]);
    await write('user: second\n');
    clock.ms = 1000;
    let open = () => {};
    reader.gate = new Promise((resolve) => {
      open = resolve;
    });
    const check = machines.refresh();
    await expect.poll(() => reader.reads).toBe(3);
    await write('user: third\n');
    const reread = machines.reread();
    expect(machines.isFresh()).toBe(false);
    open();
    await check;
    await reread;
    expect([users(), machines.isFresh(), reader.reads]).toEqual([['fixed', 'third'], true, 4]);
  });

  test('keeps the former accounts while a file is invalid, reads it once, and logs why once', async () => {
    const { reader, lines, users, write, check, changes } = await watched();
    await write('user: [\n');
    for (let times = 0; times < 3; times += 1) await check();
    expect([users(), reader.reads, changes]).toEqual([['fixed', 'lab'], 2, []]);
    const message = 'cannot read the machine files again; serving the former accounts';
    const why = expect.stringContaining('lab.yaml:2:1: ');
    expect(lines).toEqual([['warning', 'machines-not-reloaded', message, { why }]]);
    await write('user: a b\n');
    await check();
    expect(lines.map(([, event]) => event)).toEqual(['machines-not-reloaded', 'machines-not-reloaded']);
    expect([users(), reader.reads]).toEqual([['fixed', 'lab'], 3]);
  });

  test('is read again, each second, while it cannot be read, and logs why once', async () => {
    const { folder, reader, lines, users, write, check } = await watched();
    await write('user: new\n');
    reader.failure = unreadable();
    for (let times = 0; times < 3; times += 1) await check();
    expect([users(), reader.reads]).toEqual([['fixed', 'lab'], 4]);
    reader.failure = undefined;
    await check();
    expect([users(), reader.reads]).toEqual([['fixed', 'new'], 5]);
    // The same failure later is logged again.
    await write('user: last\n');
    reader.failure = unreadable();
    await check();
    expect(lines.map(([level, event, , fields]) => [level, event, fields])).toEqual([
      ['warning', 'machines-not-reloaded', { why: 'EIO: i/o error' }],
      ['notice', 'machines-reloaded', { folder, accounts: 2 }],
      ['warning', 'machines-not-reloaded', { why: 'EIO: i/o error' }],
    ]);
  });

  test('is not served when it is invalid at the start', async () => {
    await expect(watched('user: [\n')).rejects.toMatchObject({ code: 'syntax' });
  });

  test('reports the tokens that its accounts have lost or got', async () => {
    const tokens = (...at: readonly number[]) =>
      `user: lab\ntokens: [${at.map((one) => `{ name: t${one}, sha256: ${hashAt(one)} }`).join(', ')}]\n`;
    const { changes, write, check } = await watched(tokens(1, 2));
    await write(tokens(2, 3, 4));
    await check();
    await write(`# the same\n${tokens(2, 3, 4)}`);
    await check();
    expect(changes).toEqual([
      { gone: [hashAt(1)], back: [hashAt(3), hashAt(4)] },
      { gone: [], back: [] },
    ]);
  });

  test('is read again when the file of an account’s upstream logins has changed', async () => {
    const { folder, reader, write, check } = await watched();
    const logins = join(folder, 'logins.json');
    await write(`user: lab\nupstreamLogins: ${logins}\n`);
    await check();
    await check();
    expect(reader.reads).toBe(2);
    await writeFile(logins, '{}');
    await check();
    expect(reader.reads).toBe(3);
  });
});

test('without a folder, the accounts of the program are the only ones, and always fresh', async () => {
  const machines = await openMachineFolder({
    ...{ reader: undefined, fixed: [FIXED], log: () => {}, now: () => Number.MAX_SAFE_INTEGER },
  });
  await machines.refresh();
  await machines.reread();
  expect([machines.isFresh(), machines.directory().accounts]).toEqual([true, [FIXED]]);
});

test('a token that another replica reports as given again is not refused any more', async () => {
  const { folder, isOpen, reportGone } = await folderWith(hashAt(0));
  await reportGone([hashAt(0), hashAt(1)]);
  await folder.reread({ gone: [], back: [hashAt(1)] });
  expect(isOpen()).toBe(false);
  await folder.reread({ gone: [], back: [hashAt(0)] });
  expect(isOpen()).toBe(true);
});
