import { describe, expect, test } from 'vitest';
import { ConfigError } from '../../src/lib/config-error.ts';
import { type MachineWork, replyToMachineWork, workOnMachineFile } from '../../src/site/machine-work.ts';

const file = 'lab.yaml';

test.each([
  [
    { kind: 'read-account', text: 'user: lab\n', file },
    { user: 'lab', repositories: ['**'], file },
  ],
  [
    { kind: 'edit', text: 'user: lab\n', file, edit: { kind: 'change-account', change: { push: ['a/*'] } } },
    { text: 'user: lab\npush:\n  - a/*\n', account: { user: 'lab', push: ['a/*'] } },
  ],
] as const)('replyToMachineWork() answers %j', (work, result) => {
  expect(replyToMachineWork(work)).toMatchObject({ kind: 'done', result });
});

test('replyToMachineWork() reads groups', () => {
  const reply = replyToMachineWork({ kind: 'read-groups', text: 'lab: { push: [a/*] }\n', file });
  expect(reply).toEqual({ kind: 'done', result: new Map([['lab', { repositories: [], push: ['a/*'] }]]) });
});

test.each(['read-account', 'read-groups'] as const)(
  'replyToMachineWork() refuses a bad file to %s',
  (kind) => {
    const reply = replyToMachineWork({ kind, text: '- 7\n', file });
    expect(reply).toMatchObject({ kind: 'refused', error: { code: 'wrong-type', details: { file } } });
    // Plain data, as it crosses threads.
    expect(structuredClone(reply)).toEqual(reply);
  },
);

describe('a machine file, on this thread when it is small and on another when it is large', () => {
  const LARGE = `#${'x'.repeat(4 * 1024)}`;
  const MEBIBYTE = 1024 * 1024;
  const failureOf = (work: MachineWork) =>
    workOnMachineFile(work).then(
      () => expect.fail('it resolved'),
      (error: unknown) => error,
    );

  const SIZES = [
    ['small', '#'],
    ['large', LARGE],
  ] as const;
  test.each(SIZES)('that is %s is read and edited', async (_, comment) => {
    const text = `${comment}\nuser: lab\n`;
    expect(await workOnMachineFile({ kind: 'read-account', text, file })).toMatchObject({
      user: 'lab',
      file,
    });
    const edit = { kind: 'change-account', change: { push: ['a/*'] } } as const;
    const edited = await workOnMachineFile({ kind: 'edit', text, file, edit });
    expect(edited).toMatchObject({ text: `${text}push:\n  - a/*\n`, account: { push: ['a/*'], file } });
  });

  test.each(SIZES)('that is %s is refused with its place', async (_, comment) => {
    const failure = await failureOf({ kind: 'read-account', text: `user: lab\n${comment}\nrole: x\n`, file });
    expect(failure).toBeInstanceOf(ConfigError);
    expect(failure).toMatchObject({ code: 'invalid-value', file, line: 3, column: 7, path: 'role' });
  });

  test('is refused when it is larger than all that may wait for the thread: try again', async () => {
    const text = ' '.repeat(16 * MEBIBYTE);
    expect(await failureOf({ kind: 'read-account', text, file })).toMatchObject({ code: 'too-large' });
    const failure = await failureOf({ kind: 'read-account', text: `${text} `, file });
    expect(failure).toBeInstanceOf(ConfigError);
    expect(failure).toMatchObject({
      ...{ code: 'busy', why: 'too many machine files wait for a thread: try again', file },
      cause: { name: 'ThreadBusyError' },
    });
  });

  test('cannot be read when the thread fails with it', async () => {
    const work = { kind: 'edit', text: LARGE, file, edit: null } as unknown as MachineWork;
    const failure = await failureOf(work);
    expect(failure).toBeInstanceOf(ConfigError);
    expect(failure).toMatchObject({
      ...{ code: 'invalid-value', file, why: expect.stringMatching(/^it cannot be read: Cannot read prop/) },
      cause: { name: 'ThreadFailedError' },
    });
  });

  test('is not to blame for work that cannot be sent to a thread', async () => {
    const work = { kind: 'edit', text: LARGE, file, edit: () => {} } as unknown as MachineWork;
    expect(await failureOf(work)).toMatchObject({ name: 'DataCloneError' });
  });
});
