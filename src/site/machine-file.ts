import * as v from 'valibot';
import { readSource } from '../lib/config-source.ts';
import { checking, combining, fields, mapOf, type Refuse, reading, shown } from '../lib/schema.ts';
import { openYaml } from '../lib/yaml-source.ts';
import { type AccessToken, type Account, type MachineType, NAME, TOKEN_HASH } from './account.ts';
import { problemWithFeatures, readMachineFeature } from './machine-features.ts';
import { type PasswordHash, parsePasswordHash } from './password.ts';
import { RepositoryPattern } from './permissions.ts';

const Name = v.pipe(
  v.string(),
  v.regex(NAME, ({ input }) => `${shown(input)} is no name: it may hold letters, digits and . _ - @ only`),
);

const HASH_PREFIX = '$scrypt$';
const NO_HASH = 'a scrypt hash is expected; set it with metahub machine passwd';

/** Its errors do not show the value: it may be a password in clear text. */
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

const Type = fields({
  name: Name,
  features: v.nullish(
    v.pipe(
      v.array(Feature),
      checking((features: string[]) => problemWithFeatures(features)),
    ),
  ),
  login: v.optional(Name),
  password: v.optional(Password),
});

/** Nothing after the key is no repository, not every one. */
const Repositories = v.pipe(
  v.nullable(v.array(RepositoryPattern)),
  v.transform((patterns): readonly string[] => patterns ?? []),
);

function parseExpiry(text: string): number | undefined {
  const expiresMs = /^\d{4}-\d{2}-\d{2}T[\d:.]+Z$/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(expiresMs) ? undefined : expiresMs;
}

const Token = v.pipe(
  fields({
    name: Name,
    // The value is not shown: it may be the token itself.
    sha256: v.pipe(
      v.string(),
      v.regex(TOKEN_HASH, 'the hash of a token is expected; make one with metahub token create'),
    ),
    // YAML's own time stamps are read as text by its core schema.
    expires: v.optional(
      v.pipe(
        v.string(),
        v.examples(['2027-01-31T00:00:00Z']),
        reading(parseExpiry, (text) => `${shown(text)} is no time: write 2027-01-31T00:00:00Z`),
      ),
    ),
    repositories: v.optional(Repositories),
    push: v.optional(v.boolean(), false),
  }),
  v.transform(
    ({ expires, repositories, ...token }): AccessToken => ({ ...token, expiresMs: expires, repositories }),
  ),
);

const UpstreamLogins = v.pipe(v.string(), v.startsWith('/', 'a path from the root, to a file, is expected'));

const AccountEntries = fields({
  user: Name,
  password: v.optional(Password),
  types: v.nullish(v.array(Type)),
  repositories: v.optional(Repositories),
  push: v.optional(Repositories),
  groups: v.nullish(v.array(Name)),
  tokens: v.nullish(v.array(Token)),
  upstreamLogins: v.optional(UpstreamLogins),
  managesMachines: v.optional(v.boolean()),
});

type WrittenAccount = v.InferOutput<typeof AccountEntries>;

/** The types of an account, each with a login and a password of its own or the account's. */
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

function toAccount(written: WrittenAccount, refuse: Refuse): Omit<Account, 'file'> {
  const { user, password, upstreamLogins, managesMachines = false } = written;
  const [groups, tokens] = [written.groups ?? [], written.tokens ?? []];
  refuseSecondTokens(tokens, refuse);
  const everything = groups.length === 0 ? ['**'] : [];
  return {
    user,
    password,
    types: typesOf(written, refuse),
    repositories: written.repositories ?? everything,
    push: written.push ?? [],
    groups,
    tokens,
    upstreamLogins,
    managesMachines,
  };
}

/**
 * An account and its machine types, a file in the form of 2019: `user`, `password`, `types: [{name, features}]`.
 * Without `repositories` and `groups` it may pull everything.
 */
export const AccountFile = v.pipe(AccountEntries, combining(toAccount));

/** @throws {ConfigError} malformed, duplicate or unknown */
export function readMachineFile(source: string, file: string): Account {
  const nextStep =
    'An account has user, and maybe password, types of {name, features}, repositories, groups.';
  return { ...readSource(AccountFile, openYaml(file, source), { nextStep }), file };
}

/** What a group's members may pull, besides what they may pull themselves. */
export type Groups = ReadonlyMap<string, readonly string[]>;

/** Groups, a file of `NAME: {repositories: […]}`. */
export const GroupsFile = v.nullable(
  v.pipe(
    mapOf(Name, fields({ repositories: v.optional(Repositories) })),
    v.transform(
      (groups): Groups => new Map([...groups].map(([name, { repositories = [] }]) => [name, repositories])),
    ),
  ),
  {},
);

/** @throws {ConfigError} */
export function readGroupsFile(source: string, file: string): Groups {
  const nextStep = 'Groups are names with repositories: lab: {repositories: ["ghcr.io/lab/**"]}';
  return readSource(GroupsFile, openYaml(file, source), { nextStep });
}
