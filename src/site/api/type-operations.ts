import * as v from 'valibot';
import type { Account, MachineType } from '../account.ts';
import { ApiProblem } from './api-problem.ts';
import { type ApiOperation, hashIfText, listOfAccounts, nameOf, operation, userOf } from './operation.ts';
import * as r from './resources.ts';

function typeOf({ user, types }: Account, name: string): MachineType {
  const found = types.find((type) => type.name === name);
  if (found) return found;
  throw new ApiProblem('no-resource', `there is no machine type ${name} of ${user}`);
}

/** Returns undefined for the default user name, which the file does not need. */
function omitDefaultLogin(user: string, name: string, login: string | undefined): string | undefined {
  return login === `${user}-${name}` ? undefined : login;
}

/** The API's operations on machine types. */
export const TYPE_OPERATIONS: readonly ApiOperation[] = [
  operation({
    id: 'listMachineTypes',
    method: 'GET',
    path: '/types',
    summary: 'Lists the machine types of all accounts that the caller may see',
    list: { byAccount: true },
    answer: {
      status: 200,
      description: 'The machine types, sorted by account and name.',
      schema: v.object({ types: v.array(r.MACHINE_TYPE) }),
    },
    problems: [],
    run: async (service, call) => {
      const { items, next } = await listOfAccounts(service, call, ({ types }) => types);
      const types = items.map(({ account, part }) => r.typeResource(account, part).body);
      return { resource: { body: { types } }, next };
    },
  }),
  operation({
    id: 'addMachineType',
    method: 'POST',
    path: '/accounts/{user}/types',
    summary: 'Adds a machine type to an account',
    body: r.NEW_MACHINE_TYPE,
    answer: { status: 201, description: 'The machine type.', schema: r.MACHINE_TYPE },
    problems: ['no-resource', 'exists', 'limit'],
    run: async (service, call) => {
      const { accounts } = service;
      const user = userOf(call);
      accounts.requireAdmin(call.caller, user, 'types');
      const { name, features, login, password } = call.body;
      const type = {
        ...{ name, features },
        login: omitDefaultLogin(user, name, login),
        password: await hashIfText(service, password),
      };
      const account = await accounts.change(call.caller, user, { kind: 'add-type', type });
      const location = `/accounts/${encodeURIComponent(user)}/types/${encodeURIComponent(name)}`;
      return { status: 201, resource: r.typeResource(account, typeOf(account, name)), location };
    },
  }),
  operation({
    id: 'getMachineType',
    method: 'GET',
    path: '/accounts/{user}/types/{name}',
    summary: 'Shows one machine type',
    answer: { status: 200, description: 'The machine type.', schema: r.MACHINE_TYPE },
    problems: ['no-resource'],
    run: async ({ accounts }, call) => {
      const account = await accounts.find(call.caller, userOf(call));
      return { resource: r.typeResource(account, typeOf(account, nameOf(call))) };
    },
  }),
  operation({
    id: 'changeMachineType',
    method: 'PUT',
    path: '/accounts/{user}/types/{name}',
    summary: 'Changes the features, login or password of a machine type',
    body: r.MACHINE_TYPE_CHANGE,
    isEdit: true,
    answer: { status: 200, description: 'The machine type as it is now.', schema: r.MACHINE_TYPE },
    problems: ['no-resource', 'exists'],
    run: async (service, call) => {
      const { accounts } = service;
      const [user, name] = [userOf(call), nameOf(call)];
      accounts.requireAdmin(call.caller, user, 'types');
      const { features, login, password } = call.body;
      const change = {
        ...{ name, features },
        login: omitDefaultLogin(user, name, login),
        password: await hashIfText(service, password),
      };
      const account = await accounts.change(call.caller, user, { kind: 'change-type', change }, (now) =>
        call.expect(r.typeResource(now, typeOf(now, name))),
      );
      return { resource: r.typeResource(account, typeOf(account, name)) };
    },
  }),
  operation({
    id: 'removeMachineType',
    method: 'DELETE',
    path: '/accounts/{user}/types/{name}',
    summary: 'Removes a machine type',
    isEdit: true,
    answer: { status: 204, description: 'The machine type no longer exists.' },
    problems: ['no-resource'],
    run: async ({ accounts }, call) => {
      const [user, name] = [userOf(call), nameOf(call)];
      await accounts.change(call.caller, user, { kind: 'remove-type', name }, (now) =>
        call.expect(r.typeResource(now, typeOf(now, name))),
      );
      return { status: 204 };
    },
  }),
];
