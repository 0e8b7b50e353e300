import { isMap, isNode, isPair, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { type AccessToken, type Account, type MachineType, NAME, TOKEN_HASH } from './account.ts';
import { problemWithFeatures, readMachineFeature } from './machine-features.ts';
import { MachineFileError } from './machine-file-error.ts';
import { type PasswordHash, parsePasswordHash } from './password.ts';
import { problemWithPattern } from './permissions.ts';

const ACCOUNT_KEYS = [
  'user',
  'password',
  'types',
  'repositories',
  'groups',
  'tokens',
  'upstreamLogins',
  'managesMachines',
];
const TOKEN_KEYS = ['name', 'sha256', 'expires', 'repositories'];
const TYPE_KEYS = ['name', 'features', 'login', 'password'];

interface Text {
  readonly text: string;
  readonly node: Node;
}

/** Reads nodes rather than plain values, because every error names its line. */
function createReader(file: string, lines: LineCounter) {
  function problem(node: unknown, why: string): MachineFileError {
    const at = isPair(node) ? node.key : node;
    const line = isNode(at) && at.range ? lines.linePos(at.range[0]).line : 1;
    return new MachineFileError('invalid', why, { file, line });
  }

  const isAbsent = (node: unknown) =>
    node === undefined || node === null || (isScalar(node) && node.value === null);

  function fields(node: unknown, known: readonly string[], what: string): ReadonlyMap<string, unknown> {
    if (!isMap(node)) throw problem(node, what);
    const found = new Map<string, unknown>();
    for (const pair of node.items) {
      const key = isScalar(pair.key) ? String(pair.key.value) : '';
      if (!known.includes(key))
        throw problem(pair, `there is no “${key}” here; known are ${known.join(', ')}`);
      found.set(key, pair.value);
    }
    return found;
  }

  /** Names that the file chooses, each with its value. */
  function entries(node: unknown, what: string): ReadonlyMap<string, unknown> {
    if (isAbsent(node)) return new Map();
    if (!isMap(node)) throw problem(node, what);
    return new Map(node.items.map((pair) => [name(pair.key, 'the name of a group'), pair.value]));
  }

  function text(node: unknown, what: string): string {
    if (!isScalar(node) || typeof node.value !== 'string') throw problem(node, `${what} must be a text`);
    return node.value;
  }

  function name(node: unknown, what: string): string {
    const value = text(node, what);
    if (!NAME.test(value))
      throw problem(node, `${what} “${value}” may hold letters, digits and . _ - @ only`);
    return value;
  }

  function items(node: unknown, what: string): readonly unknown[] {
    if (isAbsent(node)) return [];
    if (!isSeq(node)) throw problem(node, `${what} must be a list`);
    return node.items;
  }

  function texts(node: unknown, what: string): readonly Text[] {
    return items(node, what).map((item) => ({ text: text(item, `each of ${what}`), node: item as Node }));
  }

  function password(node: unknown): PasswordHash | undefined {
    if (node === undefined) return undefined;
    const hash = parsePasswordHash(text(node, 'password'));
    // The value is not shown: it may be a password in clear text.
    if (!hash) throw problem(node, 'password must be a scrypt hash; set it with metahub machine passwd');
    return hash;
  }

  function flag(node: unknown, what: string): boolean {
    if (node === undefined) return false;
    if (!isScalar(node) || typeof node.value !== 'boolean')
      throw problem(node, `${what} must be true or false`);
    return node.value;
  }

  return { problem, fields, entries, text, name, items, texts, password, flag };
}

type Reader = ReturnType<typeof createReader>;

function readType(
  reader: Reader,
  node: unknown,
  user: string,
  inherited: PasswordHash | undefined,
): MachineType {
  const found = reader.fields(node, TYPE_KEYS, 'a type must have a name and features');
  if (!found.has('name')) throw reader.problem(node, 'a type needs a name');
  const name = reader.name(found.get('name'), 'name');
  const login = found.has('login') ? reader.name(found.get('login'), 'login') : `${user}-${name}`;
  const features = reader.texts(found.get('features'), 'features').map(({ text, node: at }) => {
    const feature = readMachineFeature(text);
    if (feature.kind === 'unknown') throw reader.problem(at, feature.why);
    return feature.text;
  });
  const why = problemWithFeatures(features);
  if (why !== undefined) throw reader.problem(node, why);
  const password = reader.password(found.get('password')) ?? inherited;
  if (!password) throw reader.problem(node, `${login} has no password, and neither has ${user}`);
  return { name, login, features: [...new Set(features)], password };
}

function readTypes(reader: Reader, node: unknown, user: string, inherited: PasswordHash | undefined) {
  const names = new Set<string>();
  const logins = new Set([user]);
  return reader.items(node, 'types').map((item) => {
    const type = readType(reader, item, user, inherited);
    if (names.has(type.name)) throw reader.problem(item, `there is another type ${type.name} in this file`);
    if (logins.has(type.login))
      throw reader.problem(item, `there is another login ${type.login} in this file`);
    names.add(type.name);
    logins.add(type.login);
    return type;
  });
}

function readPatterns(reader: Reader, node: unknown): readonly string[] {
  return reader.texts(node, 'repositories').map(({ text, node: at }) => {
    const why = problemWithPattern(text);
    if (why !== undefined) throw reader.problem(at, why);
    return text;
  });
}

/** `2027-01-31T00:00:00Z`; YAML's own time stamps are read as text by its core schema. */
function readExpiry(reader: Reader, node: unknown): number | undefined {
  if (node === undefined) return undefined;
  const text = reader.text(node, 'expires');
  const expiresMs = /^\d{4}-\d{2}-\d{2}T[\d:.]+Z$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(expiresMs)) throw reader.problem(node, 'expires must be a time: 2027-01-31T00:00:00Z');
  return expiresMs;
}

function readTokens(reader: Reader, node: unknown): readonly AccessToken[] {
  const names = new Set<string>();
  return reader.items(node, 'tokens').map((item) => {
    const found = reader.fields(item, TOKEN_KEYS, 'a token must have a name and its sha256');
    const name = reader.name(found.get('name'), 'name');
    if (names.has(name)) throw reader.problem(item, `there is another token ${name} in this file`);
    names.add(name);
    const sha256 = reader.text(found.get('sha256'), 'sha256');
    // The value is not shown: it may be the token itself.
    if (!TOKEN_HASH.test(sha256)) {
      throw reader.problem(item, 'sha256 must be the hash of a token; make one with metahub token create');
    }
    const repositories = found.has('repositories')
      ? readPatterns(reader, found.get('repositories'))
      : undefined;
    return { name, sha256, expiresMs: readExpiry(reader, found.get('expires')), repositories };
  });
}

function readGroupNames(reader: Reader, node: unknown): readonly string[] {
  return reader.items(node, 'groups').map((item) => reader.name(item, 'a group'));
}

function readPath(reader: Reader, node: unknown): string | undefined {
  if (node === undefined) return undefined;
  const path = reader.text(node, 'upstreamLogins');
  if (!path.startsWith('/'))
    throw reader.problem(node, 'upstreamLogins must be a path from the root, to a file');
  return path;
}

/** A reader of the document in `source`, and what the document holds. @throws {MachineFileError} when it is no YAML. */
function openDocument(source: string, file: string): { readonly reader: Reader; readonly contents: unknown } {
  const lines = new LineCounter();
  const document = parseDocument(source, { lineCounter: lines, prettyErrors: false });
  const [broken] = document.errors;
  if (broken) {
    const [why = ''] = broken.message.split('\n', 1);
    const { line } = lines.linePos(broken.pos[0]);
    throw new MachineFileError('invalid', why, { file, line }, { cause: broken });
  }
  return { reader: createReader(file, lines), contents: document.contents };
}

/**
 * An account and its machine types, from a file in the form of 2019: `user`, `password`, `types: [{name, features}]`.
 * Without `repositories` and `groups` it may pull everything.
 * @throws {MachineFileError} with file and line: malformed, duplicate or unknown.
 */
export function readMachineFile(source: string, file: string): Account {
  const { reader, contents } = openDocument(source, file);
  const found = reader.fields(contents, ACCOUNT_KEYS, 'an account must have a user');
  if (!found.has('user')) throw reader.problem(contents, 'an account must have a user');
  const user = reader.name(found.get('user'), 'user');
  const password = reader.password(found.get('password'));
  const groups = readGroupNames(reader, found.get('groups'));
  const everything = groups.length === 0 ? ['**'] : [];
  return {
    user,
    password,
    types: readTypes(reader, found.get('types'), user, password),
    repositories: found.has('repositories') ? readPatterns(reader, found.get('repositories')) : everything,
    groups,
    tokens: readTokens(reader, found.get('tokens')),
    upstreamLogins: readPath(reader, found.get('upstreamLogins')),
    managesMachines: reader.flag(found.get('managesMachines'), 'managesMachines'),
    file,
  };
}

/** What a group's members may pull, besides what they may pull themselves. */
export type Groups = ReadonlyMap<string, readonly string[]>;

/**
 * Groups, from a file of `NAME: {repositories: […]}`.
 * @throws {MachineFileError} with file and line.
 */
export function readGroupsFile(source: string, file: string): Groups {
  const { reader, contents } = openDocument(source, file);
  const groups = new Map<string, readonly string[]>();
  for (const [name, value] of reader.entries(contents, 'groups must be names with repositories')) {
    const found = reader.fields(value, ['repositories'], `the group ${name} must have repositories`);
    groups.set(name, readPatterns(reader, found.get('repositories')));
  }
  return groups;
}
