import * as v from 'valibot';
import { readSource } from '../lib/config-source.ts';
import {
  checking,
  choice,
  combining,
  fields,
  mapOf,
  type Refuse,
  reading,
  shown,
  Text,
} from '../lib/schema.ts';
import { openYaml } from '../lib/yaml-source.ts';
import { RepositoryPattern } from '../oci/pattern.ts';
import {
  ACCOUNT_ROLES,
  type AccessToken,
  type Account,
  AccountName,
  type Enrolment,
  type MachineType,
  TOKEN_HASH,
} from './account.ts';
import { problemWithFeatures, readMachineFeature } from './machine-features.ts';
import { type PasswordHash, parsePasswordHash } from './password.ts';

const HASH_PREFIX = '$scrypt$';
const NO_HASH = 'a scrypt hash is expected; set it with metahub machine passwd';

/** The errors omit the value, because it may be a password in clear text. */
const Password = v.pipe(
  v.string(),
  v.startsWith(HASH_PREFIX, NO_HASH),
  reading(parsePasswordHash, () => NO_HASH),
);

function readFeature(text: string, refuse: Refuse): string {
  const feature = readMachineFeature(text);
  if (feature.kind === 'feature') return feature.text;
  refuse(feature.why);
  return text;
}

const Feature = v.pipe(v.string(), v.examples(['cpu:zen4', 'nvcap:9.0']), combining(readFeature));

/** The features of a machine. */
export const MachineFeatures = v.pipe(
  v.array(Feature),
  checking((features: string[]) => problemWithFeatures(features)),
);

const Type = fields({
  name: AccountName,
  features: v.nullish(MachineFeatures),
  login: v.optional(AccountName),
  password: v.optional(Password),
});

/** An empty value means no repository, not every repository. */
const Repositories = v.pipe(
  v.nullable(v.array(RepositoryPattern)),
  v.transform((patterns): readonly string[] => patterns ?? []),
);

function parseExpiry(text: string): number | undefined {
  const expiresMs = /^\d{4}-\d{2}-\d{2}T[\d:.]+Z$/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(expiresMs) ? undefined : expiresMs;
}

// The error omits the value, because it may be the secret itself.
const TokenHash = v.pipe(
  v.string(),
  v.regex(TOKEN_HASH, 'the hash of a token is expected; make one with metahub token create'),
);

// YAML's core schema reads time stamps as strings.
const Expiry = v.pipe(
  v.string(),
  v.examples(['2027-01-31T00:00:00Z']),
  reading(parseExpiry, (text) => `${shown(text)} is not a time: write 2027-01-31T00:00:00Z`),
);

const Token = v.pipe(
  fields({
    name: AccountName,
    sha256: TokenHash,
    expires: v.optional(Expiry),
    repositories: v.optional(Repositories),
    push: v.optional(v.boolean(), false),
    type: v.optional(AccountName),
  }),
  v.transform(
    ({ expires, repositories, type, ...token }): AccessToken => ({
      ...{ ...token, expiresMs: expires, repositories, type },
    }),
  ),
);

const EnrolmentEntry = v.pipe(
  fields({ name: AccountName, type: AccountName, sha256: TokenHash, expires: Expiry }),
  v.transform(({ expires, ...enrolment }): Enrolment => ({ ...enrolment, expiresMs: expires })),
);

const UpstreamLogins = v.pipe(v.string(), v.startsWith('/', 'a path from the root, to a file, is expected'));

const AccountEntries = fields({
  user: AccountName,
  password: v.optional(Password),
  types: v.nullish(v.array(Type)),
  repositories: v.optional(Repositories),
  push: v.optional(Repositories),
  groups: v.nullish(v.array(AccountName)),
  tokens: v.nullish(v.array(Token)),
  enrolments: v.nullish(v.array(EnrolmentEntry)),
  upstreamLogins: v.optional(UpstreamLogins),
  managesMachines: v.optional(v.boolean()),
  role: v.optional(choice(...ACCOUNT_ROLES)),
  oidc: v.optional(fields({ issuer: Text, subject: Text, groupsOnly: v.optional(v.boolean()) })),
});

type WrittenAccount = v.InferOutput<typeof AccountEntries>;

/** Reads the machine types; each has its own password or the account's. */
function typesOf({ user, password, types }: WrittenAccount, refuse: Refuse): readonly MachineType[] {
  const names = new Set<string>();
  const logins = new Set([user]);
  return (types ?? []).flatMap((type, at) => {
    const { name, login = `${user}-${name}`, features } = type;
    const own: PasswordHash | undefined = type.password ?? password;
    if (own === undefined) refuse(`${login} has no password, and neither has ${user}`, 'types', at);
    if (names.has(name)) refuse(`there is another type ${name} in this file`, 'types', at);
    if (logins.has(login)) refuse(`there is another login ${login} in this file`, 'types', at);
    names.add(name);
    logins.add(login);
    return own === undefined ? [] : [{ name, login, features: [...new Set(features ?? [])], password: own }];
  });
}

function refuseSecondTokens(tokens: readonly AccessToken[], refuse: Refuse): void {
  tokens.forEach(({ name }, at) => {
    const isSecond = tokens.findIndex((token) => token.name === name) < at;
    if (isSecond) refuse(`there is another token ${name} in this file`, 'tokens', at);
  });
}

function refuseUnknownTypes({ types, enrolments }: WrittenAccount, refuse: Refuse): void {
  const names = new Set(types?.map(({ name }) => name));
  // A token of a removed type is harmless, because it opens nothing. An enrolment would waste its secret.
  enrolments?.forEach(({ type }, at) => {
    if (!names.has(type)) refuse(`there is no type ${type} in this file`, 'enrolments', at, 'type');
  });
}

function toAccount(written: WrittenAccount, refuse: Refuse): Omit<Account, 'file'> {
  const { user, password, upstreamLogins, managesMachines = false, role, oidc } = written;
  const [groups, tokens] = [written.groups ?? [], written.tokens ?? []];
  refuseSecondTokens(tokens, refuse);
  refuseUnknownTypes(written, refuse);
  // The claims of a person set the role at each login. Keys that an administrator has added stay for the next
  // role.
  if (role === 'puller' && (written.push ?? []).length > 0 && oidc === undefined) {
    refuse('a puller cannot push: write role: publisher, or remove push', 'push');
  }
  if (role === 'publisher' && (written.push ?? []).length === 0 && groups.length === 0) {
    refuse('a publisher needs push, the repositories that it may push to', 'role');
  }
  const everything = groups.length === 0 && oidc?.groupsOnly !== true ? ['**'] : [];
  return {
    user,
    password,
    types: typesOf(written, refuse),
    repositories: written.repositories ?? everything,
    push: written.push ?? [],
    groups,
    tokens,
    enrolments: written.enrolments ?? [],
    upstreamLogins,
    managesMachines,
    role,
    ...(oidc && { oidc }),
  };
}

/**
 * Parses an account and its machine types: `user`, `password`, `types: [{name, features}]`. An account
 * without `repositories` and `groups` may pull everything, unless a person's login rule grants rights by
 * groups only.
 */
export const AccountFile = v.pipe(AccountEntries, combining(toAccount));

/** @throws {ConfigError} for malformed, duplicate or unknown content */
export function readMachineFile(source: string, file: string): Account {
  const nextStep =
    'An account has user, and maybe password, types of {name, features}, repositories, groups.';
  return { ...readSource(AccountFile, openYaml(file, source), { nextStep }), file };
}

/** The rights that a group grants its members. */
export interface GroupRights {
  readonly repositories: readonly string[];
  readonly push: readonly string[];
}

export type Groups = ReadonlyMap<string, GroupRights>;

/** The file of groups: `NAME: {repositories: […], push: […]}`. */
export const GroupsFile = v.nullable(
  v.pipe(
    mapOf(AccountName, fields({ repositories: v.optional(Repositories), push: v.optional(Repositories) })),
    v.transform(
      (groups): Groups =>
        new Map(
          [...groups].map(([name, { repositories = [], push = [] }]) => [name, { repositories, push }]),
        ),
    ),
  ),
  {},
);

/** @throws {ConfigError} */
export function readGroupsFile(source: string, file: string): Groups {
  const nextStep = 'Groups are names with repositories: lab: {repositories: ["ghcr.io/lab/**"]}';
  return readSource(GroupsFile, openYaml(file, source), { nextStep });
}
