import * as v from 'valibot';
import { choice, fields, shown } from '../../lib/schema.ts';
import { RepositoryPattern } from '../../oci/pattern.ts';
import {
  ACCOUNT_ROLES,
  type AccessToken,
  type Account,
  AccountName,
  isExpired,
  type MachineType,
} from '../account.ts';
import { MachineFeatures } from '../machine-file.ts';
import type { ApiResource } from './operation.ts';

const Patterns = v.array(RepositoryPattern);
const Time = v.pipe(
  v.string(),
  v.isoTimestamp(({ input }) => `${shown(input)} is not a time: write 2027-01-31T00:00:00Z`),
);
const described = <Schema extends v.GenericSchema>(schema: Schema, text: string) =>
  v.pipe(schema, v.description(text));

/** A resource that this schema describes. */
type ResourceOf<Schema extends v.GenericSchema> = ApiResource & { readonly body: v.InferOutput<Schema> };

const MAY_PULL = 'patterns of the repositories that it may pull, in addition to those of its groups; **: all';
const MAY_PUSH = 'patterns of the repositories that it may push to';
const ROLE = 'admin: it manages all accounts of the site';
const MANAGES = 'may it change its own machine types over the network';

/** Maximum length of a password, in characters. */
const PASSWORD_MAX = 1024;
const Password = v.pipe(
  v.string(),
  v.nonEmpty('a password is not empty'),
  v.maxLength(PASSWORD_MAX, `a password has at most ${PASSWORD_MAX} characters`),
  v.regex(/^[^\r\n]*$/, 'a password is one line'),
  v.description('in clear text; MetaHub stores its scrypt hash only'),
);

/** An account, without its secrets. */
export const ACCOUNT = v.object({
  user: described(v.string(), 'the user name of the account'),
  role: described(v.nullable(choice(...ACCOUNT_ROLES)), ROLE),
  hasPassword: described(
    v.boolean(),
    'false: only machine types with their own passwords can log in, and selectors cannot',
  ),
  repositories: described(v.array(v.string()), MAY_PULL),
  push: described(v.array(v.string()), MAY_PUSH),
  groups: described(v.array(v.string()), 'the groups that it belongs to'),
  managesMachines: described(v.boolean(), MANAGES),
  hasUpstreamLogins: described(v.boolean(), 'true: MetaHub pulls for it with its own upstream logins'),
});

/** Returns the resource of an account. Its state includes the hash of the password. */
export function accountResource(account: Account): ResourceOf<typeof ACCOUNT> {
  const { user, role, password, repositories, push, groups, managesMachines, upstreamLogins } = account;
  const body: v.InferOutput<typeof ACCOUNT> = {
    user,
    role: role ?? null,
    hasPassword: password !== undefined,
    repositories: [...repositories],
    push: [...push],
    groups: [...groups],
    managesMachines,
    hasUpstreamLogins: upstreamLogins !== undefined,
  };
  return { body, state: password?.text ?? '' };
}

/** A group of accounts. */
export const GROUP = v.object({
  name: described(v.string(), 'the name of the group'),
  repositories: described(v.array(v.string()), 'patterns of the repositories that its members may pull'),
  push: described(v.array(v.string()), 'patterns of the repositories that its members may push to'),
});

/** A machine type of an account. */
export const MACHINE_TYPE = v.object({
  account: described(v.string(), 'the user name of its account'),
  name: described(v.string(), 'the name of the machine type'),
  login: described(v.string(), 'the user name of machines of this type'),
  features: described(v.array(v.string()), 'the features of these machines: cpu:zen4, nvcap:9.0'),
  hasOwnPassword: described(v.boolean(), 'false: it uses the account’s password'),
});

export function typeResource(
  { user, password }: Account,
  type: MachineType,
): ResourceOf<typeof MACHINE_TYPE> {
  const { name, login, features } = type;
  const hasOwnPassword = type.password.text !== password?.text;
  const body: v.InferOutput<typeof MACHINE_TYPE> = {
    ...{ account: user, name, login },
    features: [...features],
    hasOwnPassword,
  };
  return { body, state: hasOwnPassword ? type.password.text : '' };
}

/** An access token, without its secret. */
export const ACCESS_TOKEN = v.object({
  account: described(v.string(), 'the user name of its account'),
  name: described(v.string(), 'the name of the token'),
  state: described(
    v.picklist(['valid', 'expired', 'enrolment']),
    'enrolment: the machine has not exchanged its one-time secret for the token yet',
  ),
  expires: described(v.nullable(Time), 'null: the token does not expire'),
  repositories: described(v.nullable(v.array(v.string())), 'null: everything that the account may pull'),
  push: described(v.boolean(), 'may it push what its account may push'),
  type: described(
    v.nullable(v.string()),
    'the only machine type that it may log in as; null: it opens every login of the account',
  ),
});

/** An access token, or the enrolment that a machine exchanges for one. */
export type TokenOrEnrolment = AccessToken & { readonly isEnrolment?: true };

/** Lists the access tokens and the enrolments of an account. */
export function tokensOf({ tokens, enrolments }: Account): readonly TokenOrEnrolment[] {
  const future = { repositories: undefined, push: false, isEnrolment: true } as const;
  return [...tokens, ...enrolments.map((enrolment) => ({ ...enrolment, ...future }))];
}

/** Identifies a token in lists. A machine that enrols again has an enrolment and a token of the same name. */
export function tokenKey({ name, isEnrolment }: TokenOrEnrolment): string {
  return isEnrolment ? `${name}/enrolment` : name;
}

export function tokenResource(
  { user }: Account,
  token: TokenOrEnrolment,
  nowMs: number,
): ResourceOf<typeof ACCESS_TOKEN> {
  const { name, expiresMs, repositories, push, type, sha256, isEnrolment } = token;
  const state = isExpired(token, nowMs) ? 'expired' : isEnrolment ? 'enrolment' : 'valid';
  const body: v.InferOutput<typeof ACCESS_TOKEN> = {
    account: user,
    name,
    state,
    expires: expiresMs === undefined ? null : new Date(expiresMs).toISOString(),
    repositories: repositories === undefined ? null : [...repositories],
    push,
    type: type ?? null,
  };
  return { body, state: sha256 };
}

/** A new token. Only this answer contains its text. */
export const MADE_TOKEN = v.object({
  ...ACCESS_TOKEN.entries,
  token: described(v.string(), 'the token itself; only this answer contains it'),
});

export const NEW_ACCOUNT = fields({
  user: AccountName,
  role: v.optional(described(v.nullable(choice(...ACCOUNT_ROLES)), ROLE)),
  password: v.optional(Password),
  repositories: v.optional(described(Patterns, `${MAY_PULL}; absent, and without groups: all`)),
  push: v.optional(described(Patterns, MAY_PUSH)),
  groups: v.optional(v.array(AccountName)),
  managesMachines: v.optional(described(v.boolean(), MANAGES)),
});

/** A merge patch. @see https://www.rfc-editor.org/rfc/rfc7396 */
export const ACCOUNT_CHANGE = fields({
  role: v.optional(described(v.nullable(choice(...ACCOUNT_ROLES)), ROLE)),
  password: v.optional(v.nullable(Password)),
  repositories: v.optional(described(v.nullable(Patterns), MAY_PULL)),
  push: v.optional(described(v.nullable(Patterns), MAY_PUSH)),
  groups: v.optional(v.nullable(v.array(AccountName))),
  managesMachines: v.optional(described(v.nullable(v.boolean()), MANAGES)),
});

/** Maximum number of patterns of a group. Every account in it gets all of them. */
const GROUP_PATTERNS_MAX = 500;
const GroupPatterns = v.pipe(
  Patterns,
  v.maxLength(GROUP_PATTERNS_MAX, `a group has at most ${GROUP_PATTERNS_MAX} patterns`),
);

export const GROUP_RIGHTS = fields({
  repositories: v.optional(
    described(GroupPatterns, 'patterns of the repositories that its members may pull; absent: none'),
  ),
  push: v.optional(
    described(GroupPatterns, 'patterns of the repositories that its members may push to; absent: none'),
  ),
});

/** Maximum number of features of one type. Every change parses the whole file again. */
const FEATURES_MAX = 64;
const Features = v.pipe(
  MachineFeatures,
  v.maxLength(FEATURES_MAX, `a machine type has at most ${FEATURES_MAX} features`),
);
const Login = described(AccountName, 'the user name; absent: ACCOUNT-NAME');

export const NEW_MACHINE_TYPE = fields({
  name: AccountName,
  features: v.optional(Features, []),
  login: v.optional(Login),
  password: v.optional(described(Password, 'its own password; absent: the account’s')),
});

export const MACHINE_TYPE_CHANGE = fields({
  features: Features,
  login: v.optional(Login),
  password: v.optional(described(v.nullable(Password), 'absent: unchanged; null: the account’s password')),
});

export const NEW_ENROLMENT = fields({
  name: AccountName,
  type: described(AccountName, 'the machine’s type'),
  expires: v.optional(described(Time, 'absent: in an hour')),
});

/** A new enrolment. Only this answer contains its secret. */
export const MADE_ENROLMENT = v.object({
  account: described(v.string(), 'the user name of the account'),
  name: described(v.string(), 'the name of the machine’s future token'),
  type: described(v.string(), 'the machine type that the machine logs in as'),
  expires: described(Time, 'when the secret expires, in UTC'),
  token: described(
    v.string(),
    'the one-time secret that the machine enrols with; only this answer contains it',
  ),
});

export const NEW_TOKEN = fields({
  name: AccountName,
  expires: v.optional(described(v.nullable(Time), 'absent: in 90 days; null: never; 2027-01-31T00:00:00Z')),
  repositories: v.optional(described(Patterns, 'patterns that narrow what the account may pull')),
  push: v.optional(v.boolean()),
});

/** A problem document. */
export const PROBLEM = v.object({
  type: described(v.string(), 'a page that explains the problem'),
  title: v.string(),
  status: v.pipe(v.number(), v.integer()),
  detail: v.string(),
  code: described(v.string(), 'a stable code for programs'),
  nextStep: v.optional(v.string()),
  errors: v.optional(
    v.array(
      v.object({
        pointer: described(v.string(), 'the invalid part of the body: /features/0'),
        code: v.string(),
        detail: v.string(),
      }),
    ),
  ),
});
