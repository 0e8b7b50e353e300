import * as v from 'valibot';
import { type ApiOperation, cutPart, hashIfText, operation, userOf } from './operation.ts';
import * as r from './resources.ts';

/** The API's operations on accounts. */
export const ACCOUNT_OPERATIONS: readonly ApiOperation[] = [
  operation({
    id: 'listAccounts',
    method: 'GET',
    path: '/accounts',
    summary: 'Lists the accounts: all of them for an administrator, itself for any other account',
    list: { byAccount: false },
    answer: {
      status: 200,
      description: 'The accounts, sorted by name.',
      schema: v.object({ accounts: v.array(r.ACCOUNT) }),
    },
    problems: [],
    run: async ({ accounts }, call) => {
      const { items, next } = cutPart(await accounts.list(call.caller), call.list, ({ user }) => user);
      return { resource: { body: { accounts: items.map((item) => r.accountResource(item).body) } }, next };
    },
  }),
  operation({
    id: 'addAccount',
    method: 'POST',
    path: '/accounts',
    summary: 'Adds an account',
    body: r.NEW_ACCOUNT,
    answer: { status: 201, description: 'The account.', schema: r.ACCOUNT },
    problems: ['exists'],
    run: async (service, { caller, body }) => {
      const { accounts } = service;
      // Stryker disable next-line StringLiteral: what is neither types nor tokens is for administrators alone.
      accounts.requireAdmin(caller, body.user, 'account');
      const account = {
        ...body,
        password: await hashIfText(service, body.password),
        role: body.role ?? undefined,
      };
      const resource = r.accountResource(await accounts.add(caller, account));
      return { status: 201, resource, location: `/accounts/${encodeURIComponent(body.user)}` };
    },
  }),
  operation({
    id: 'getAccount',
    method: 'GET',
    path: '/accounts/{user}',
    summary: 'Shows one account',
    answer: { status: 200, description: 'The account.', schema: r.ACCOUNT },
    problems: ['no-resource'],
    run: async ({ accounts }, call) => ({
      resource: r.accountResource(await accounts.find(call.caller, userOf(call))),
    }),
  }),
  operation({
    id: 'changeAccount',
    method: 'PATCH',
    path: '/accounts/{user}',
    summary: 'Changes an account',
    description: 'A JSON merge patch (RFC 7396): an absent key stays as it is, null removes the key.',
    body: r.ACCOUNT_CHANGE,
    isEdit: true,
    answer: { status: 200, description: 'The account as it is now.', schema: r.ACCOUNT },
    problems: ['no-resource'],
    run: async (service, call) => {
      const { accounts } = service;
      // Stryker disable next-line StringLiteral: what is neither types nor tokens is for administrators alone.
      accounts.requireAdmin(call.caller, userOf(call), 'account');
      const change = { ...call.body, password: await hashIfText(service, call.body.password) };
      const account = await accounts.change(
        call.caller,
        userOf(call),
        { kind: 'change-account', change },
        (now) => call.expect(r.accountResource(now)),
      );
      return { resource: r.accountResource(account) };
    },
  }),
  operation({
    id: 'removeAccount',
    method: 'DELETE',
    path: '/accounts/{user}',
    summary: 'Removes an account with all of its machine types and tokens',
    isEdit: true,
    answer: { status: 204, description: 'The account no longer exists.' },
    problems: ['no-resource'],
    run: async ({ accounts }, call) => {
      await accounts.remove(call.caller, userOf(call), (now) => call.expect(r.accountResource(now)));
      return { status: 204 };
    },
  }),
];
