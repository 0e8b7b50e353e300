import * as v from 'valibot';
import { type Account, createAccessToken, createEnrolmentSecret } from '../account.ts';
import { ApiProblem } from './api-problem.ts';
import { type ApiOperation, listOfAccounts, nameOf, operation, userOf } from './operation.ts';
import * as r from './resources.ts';

/** Default lifetime of an access token. */
const TOKEN_LIFETIME_MS = 90 * 24 * 60 * 60_000;
const ENROLMENT_LIFETIME_MS = 60 * 60_000;

/**
 * Finds the newest token or enrolment of that name: a machine that enrols again has an enrolment beside its
 * former token.
 */
function tokenOf(account: Account, name: string): r.TokenOrEnrolment {
  const found = r.tokensOf(account).findLast((token) => token.name === name);
  if (found) return found;
  throw new ApiProblem('no-resource', `there is no token ${name} of ${account.user}`);
}

/**
 * Parses the time in a body; returns milliseconds of the wall clock. @throws {ApiProblem} when it is not in
 * the future
 */
function futureMs(written: string, nowMs: number): number {
  const ms = Date.parse(written);
  if (ms > nowMs) return ms;
  const why = `${written} is not a time in the future`;
  throw new ApiProblem('invalid-body', `/expires ${why}`, {
    errors: [{ pointer: '/expires', code: 'invalid-value', detail: why }],
  });
}

/**
 * Returns when a token expires; undefined: never. A person's own token always expires, because nobody may be
 * left to revoke it.
 */
function expiryOf(written: string | null | undefined, nowMs: number, isPerson: boolean): Date | undefined {
  const usualMs = nowMs + TOKEN_LIFETIME_MS;
  if (written === null) return isPerson ? new Date(usualMs) : undefined;
  const writtenMs = written === undefined ? usualMs : futureMs(written, nowMs);
  return new Date(isPerson ? Math.min(writtenMs, usualMs) : writtenMs);
}

/** The API's operations on access tokens and enrolments. */
export const TOKEN_OPERATIONS: readonly ApiOperation[] = [
  operation({
    id: 'listTokens',
    method: 'GET',
    path: '/tokens',
    summary:
      'Lists the access tokens and enrolments of all accounts that the caller may see, without their secrets',
    list: { byAccount: true },
    answer: {
      status: 200,
      description: 'The tokens, sorted by account and name.',
      schema: v.object({ tokens: v.array(r.ACCESS_TOKEN) }),
    },
    problems: [],
    run: async (service, call) => {
      const { items, next } = await listOfAccounts(service, call, r.tokensOf, r.tokenKey);
      const nowMs = service.wallClock();
      const tokens = items.map(({ account, part }) => r.tokenResource(account, part, nowMs).body);
      return { resource: { body: { tokens } }, next };
    },
  }),
  operation({
    id: 'addToken',
    method: 'POST',
    path: '/accounts/{user}/tokens',
    summary: 'Creates an access token',
    body: r.NEW_TOKEN,
    answer: {
      status: 201,
      description: 'The token with its text, which no later answer contains.',
      schema: r.MADE_TOKEN,
    },
    problems: ['no-resource', 'exists', 'limit'],
    run: async ({ accounts, wallClock }, call) => {
      const user = userOf(call);
      const { name, repositories, push } = call.body;
      const { text, sha256 } = createAccessToken();
      const expires = expiryOf(call.body.expires, wallClock(), call.caller.identity.isPerson === true);
      const token = { name, sha256, expires, repositories, push };
      const account = await accounts.change(call.caller, user, { kind: 'add-token', token });
      const added = account.tokens.find((one) => one.sha256 === sha256) ?? tokenOf(account, name);
      const resource = r.tokenResource(account, added, wallClock());
      const location = `/accounts/${encodeURIComponent(user)}/tokens/${encodeURIComponent(name)}`;
      return { status: 201, resource, body: { ...resource.body, token: text }, location };
    },
  }),
  operation({
    id: 'addEnrolment',
    method: 'POST',
    path: '/accounts/{user}/enrolments',
    summary: 'Creates a one-time secret that a machine exchanges for its own token: metahub login --enrol',
    body: r.NEW_ENROLMENT,
    answer: {
      status: 201,
      description: 'The enrolment with its secret, which no later answer contains.',
      schema: r.MADE_ENROLMENT,
    },
    problems: ['no-resource', 'limit'],
    run: async ({ accounts, wallClock }, call) => {
      const user = userOf(call);
      // Stryker disable next-line StringLiteral: what is neither types nor tokens is for administrators alone.
      accounts.requireAdmin(call.caller, user, 'account');
      const { name, type } = call.body;
      const { text, sha256 } = createEnrolmentSecret();
      const [nowMs, written] = [wallClock(), call.body.expires];
      const expires = new Date(
        written === undefined ? nowMs + ENROLMENT_LIFETIME_MS : futureMs(written, nowMs),
      );
      const enrolment = { name, type, sha256, expires };
      await accounts.change(call.caller, user, { kind: 'add-enrolment', enrolment });
      return {
        status: 201,
        body: { account: user, name, type, expires: expires.toISOString(), token: text },
      };
    },
  }),
  operation({
    id: 'getToken',
    method: 'GET',
    path: '/accounts/{user}/tokens/{name}',
    summary: 'Shows one access token',
    answer: { status: 200, description: 'The token, without its text.', schema: r.ACCESS_TOKEN },
    problems: ['no-resource'],
    run: async ({ accounts, wallClock }, call) => {
      const account = await accounts.find(call.caller, userOf(call));
      return { resource: r.tokenResource(account, tokenOf(account, nameOf(call)), wallClock()) };
    },
  }),
  operation({
    id: 'revokeToken',
    method: 'DELETE',
    path: '/accounts/{user}/tokens/{name}',
    summary: 'Revokes an access token and the bearer tokens that a client got with it, or an enrolment',
    isEdit: true,
    answer: { status: 204, description: 'The token no longer exists.' },
    problems: ['no-resource'],
    run: async ({ accounts, wallClock }, call) => {
      const [user, name] = [userOf(call), nameOf(call)];
      await accounts.change(call.caller, user, { kind: 'remove-token', name }, (now) =>
        call.expect(r.tokenResource(now, tokenOf(now, name), wallClock())),
      );
      return { status: 204 };
    },
  }),
];
