import { describe, expect, test } from 'vitest';
import type { Account } from '../../src/site/account.ts';
import { machineListOf, readMachineList } from '../../src/site/machine-list.ts';

const TYPE = { name: 'cpu', login: 'lab-cpu', features: ['cpu:zen4'] };
const LIST = { user: 'lab', types: [TYPE, { ...TYPE, features: [] }] };

describe('readMachineList()', () => {
  test('returns the list that a site sends', () => {
    expect(readMachineList(JSON.parse(JSON.stringify(LIST)))).toEqual(LIST);
    expect(readMachineList({ user: 'lab', types: [] })).toEqual({ user: 'lab', types: [] });
  });

  test.each([
    ['is no object', 7],
    ['has no types', { user: 'lab' }],
    ['has no user', { types: [] }],
    ['has a user with a line break', { user: 'lab\nroot', types: [] }],
    ['has a user with a space', { user: 'lab root', types: [] }],
    ['has an empty user', { user: '', types: [] }],
    ['has a login with an escape sequence', { user: 'lab', types: [{ ...TYPE, login: '\u001b[31m' }] }],
    ['has a type without a login', { user: 'lab', types: [{ ...TYPE, login: undefined }] }],
    ['has a feature that is not ASCII', { user: 'lab', types: [{ ...TYPE, features: ['cpu:é'] }] }],
    ['has a name of 1025 characters', { user: 'lab', types: [{ ...TYPE, name: 'x'.repeat(1025) }] }],
  ])('returns undefined for an answer that %s', (_, answer) => {
    expect(readMachineList(answer)).toBeUndefined();
  });

  test('accepts a name of 1024 characters', () => {
    expect(readMachineList({ user: 'x'.repeat(1024), types: [] })).toBeDefined();
  });
});

test('machineListOf() lists the types that the account’s own password opens', () => {
  const password = (text: string) => ({ text }) as NonNullable<Account['password']>;
  const types = [
    { ...TYPE, password: password('own') },
    { name: 'gpu', login: 'lab-gpu', features: [], password: password('other') },
  ];
  const account = { user: 'lab', types } as unknown as Account;
  expect(machineListOf({ ...account, password: password('own') })).toEqual({ user: 'lab', types: [TYPE] });
  expect(machineListOf({ ...account, password: undefined })).toEqual({ user: 'lab', types: [] });
});
