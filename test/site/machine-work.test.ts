import { expect, test } from 'vitest';
import { replyToMachineWork } from '../../src/site/machine-work.ts';

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
