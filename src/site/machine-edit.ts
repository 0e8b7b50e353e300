import { ConfigError } from '../lib/config-error.ts';
import { type Document, isMap, isSeq, type YAMLMap, type YAMLSeq } from '../lib/yaml-document.ts';
import { editYaml, scalarIn } from '../lib/yaml-edit.ts';
import {
  type AccountChange,
  type PersonChange,
  withAccountChanged,
  withPersonChanged,
} from './account-edit.ts';

/** A machine type to add to a machine file. */
export interface NewType {
  readonly name: string;
  readonly features: readonly string[];
  readonly login?: string | undefined;
  /** The password's hash; absent: the account's password. */
  readonly password?: string | undefined;
}

/** The new state of a machine type; its name stays. */
export interface TypeChange {
  readonly name: string;
  readonly features: readonly string[];
  /** Undefined: `ACCOUNT-NAME`. */
  readonly login: string | undefined;
  /** The password's hash; undefined: unchanged; null: the account's password. */
  readonly password?: string | null | undefined;
}

/** An access token to add to a machine file. */
export interface NewToken {
  readonly name: string;
  readonly sha256: string;
  readonly expires?: Date | undefined;
  readonly repositories?: readonly string[] | undefined;
  /** True when it may push what its account may push. */
  readonly push?: boolean | undefined;
  /** The only machine type that it may log in as. */
  readonly type?: string | undefined;
}

/** An enrolment to add to a machine file. */
export interface NewEnrolment {
  readonly name: string;
  readonly type: string;
  readonly sha256: string;
  readonly expires: Date;
}

type ListKey = 'types' | 'tokens' | 'enrolments';

function listOf(document: Document, key: ListKey): YAMLSeq | undefined {
  const list = document.get(key);
  return isSeq(list) ? list : undefined;
}

function positionOf(document: Document, key: ListKey, name: string): number {
  const items = listOf(document, key)?.items ?? [];
  return items.findIndex((item) => scalarIn(document, item, 'name') === name);
}

function append(document: Document, key: ListKey, node: YAMLMap): void {
  if (listOf(document, key)) document.addIn([key], node);
  else document.set(key, document.createNode([node]));
}

function listInOneLine(document: Document, items: readonly string[]): YAMLSeq {
  const list = document.createNode(items) as YAMLSeq;
  list.flow = true;
  return list;
}

function missingType(name: string, file: string): ConfigError {
  return new ConfigError('missing', `there is no machine type ${name}`, { file });
}

/** Adds a machine type. Keeps comments and order. @throws {ConfigError} when the name exists */
function withType(document: Document, type: NewType, file: string): void {
  if (positionOf(document, 'types', type.name) >= 0) {
    throw new ConfigError('exists', `there is a machine type ${type.name} already`, { file });
  }
  const { name, login, password } = type;
  const node = document.createNode({
    name,
    features: listInOneLine(document, type.features),
    ...(login === undefined ? {} : { login }),
    ...(password === undefined ? {} : { password }),
  }) as YAMLMap;
  append(document, 'types', node);
}

function writtenTime(time: Date): string {
  return time.toISOString().replace(/\.\d+Z$/, 'Z');
}

/** Adds an access token. @throws {ConfigError} when the name exists, or its machine type does not */
function withToken(document: Document, token: NewToken, file: string): void {
  if (positionOf(document, 'tokens', token.name) >= 0) {
    throw new ConfigError('exists', `there is a token ${token.name} already`, { file });
  }
  const { name, sha256, expires, repositories, push, type } = token;
  if (type !== undefined && positionOf(document, 'types', type) < 0) throw missingType(type, file);
  const node = document.createNode({
    name,
    sha256,
    ...(type === undefined ? {} : { type }),
    ...(expires === undefined ? {} : { expires: writtenTime(expires) }),
    ...(repositories === undefined ? {} : { repositories }),
    ...(push === true ? { push } : {}),
  }) as YAMLMap;
  append(document, 'tokens', node);
}

/** Removes an access token or an enrolment. @throws {ConfigError} when no such name exists */
function withoutToken(document: Document, name: string, file: string): void {
  const found = (['tokens', 'enrolments'] as const).filter((key) => removeFrom(document, key, name));
  if (found.length === 0) throw new ConfigError('missing', `there is no token ${name}`, { file });
}

function removeFrom(document: Document, key: ListKey, name: string): boolean {
  const position = positionOf(document, key, name);
  if (position >= 0) document.deleteIn([key, position]);
  return position >= 0;
}

/** Adds an enrolment; replaces one of the same name. */
function withEnrolment(document: Document, { expires, ...enrolment }: NewEnrolment): void {
  removeFrom(document, 'enrolments', enrolment.name);
  const node = document.createNode({ ...enrolment, expires: writtenTime(expires) }) as YAMLMap;
  append(document, 'enrolments', node);
}

/**
 * Replaces the enrolment with this hash by an access token. Removes a token of the same name, which the
 * machine had before it was installed again.
 * @throws {ConfigError} when no such enrolment exists
 */
function withEnrolmentUsed(document: Document, sha256: string, tokenSha256: string, file: string): void {
  const textIn = (key: string) => String(scalarIn(document, enrolment, key));
  const list = listOf(document, 'enrolments');
  const enrolment = list?.items.find((item) => scalarIn(document, item, 'sha256') === sha256);
  if (!isMap(enrolment)) throw new ConfigError('missing', 'there is no such enrolment', { file });
  const [name, type] = [textIn('name'), textIn('type')];
  removeFrom(document, 'enrolments', name);
  removeFrom(document, 'tokens', name);
  withToken(document, { name, type, sha256: tokenSha256 }, file);
}

/** Sets a key of a map; undefined removes it. */
function setOrDelete(node: YAMLMap, key: string, value: unknown): void {
  if (value === undefined) node.delete(key);
  else node.set(key, value);
}

/** Sets the features, login and password of a machine type. @throws {ConfigError} when no such type exists */
function withTypeChanged(document: Document, change: TypeChange, file: string): void {
  const list = listOf(document, 'types');
  const node = list?.items[positionOf(document, 'types', change.name)];
  if (!isMap(node)) throw missingType(change.name, file);
  node.set('features', listInOneLine(document, change.features));
  setOrDelete(node, 'login', change.login);
  if (change.password !== undefined) setOrDelete(node, 'password', change.password ?? undefined);
}

/**
 * Removes a machine type with the enrolments and tokens of its machines: they open no other login, and must
 * not open a later type of the same name.
 * @throws {ConfigError} when no such type exists
 */
function withoutType(document: Document, name: string, file: string): void {
  const position = positionOf(document, 'types', name);
  if (position < 0) throw missingType(name, file);
  document.deleteIn(['types', position]);
  for (const key of ['tokens', 'enrolments'] as const) {
    const list = listOf(document, key);
    if (list) list.items = list.items.filter((item) => scalarIn(document, item, 'type') !== name);
  }
}

/** Sets the password of the account, or of one of its types. @throws {ConfigError} when no such type exists */
function withPassword(document: Document, type: string | undefined, password: string, file: string): void {
  const position = type === undefined ? undefined : positionOf(document, 'types', type);
  if (type !== undefined && position === -1) throw missingType(type, file);
  document.setIn([...(position === undefined ? [] : ['types', position]), 'password'], password);
}

/** A change of an account's machine file. */
export type MachineEdit =
  | { readonly kind: 'add-type'; readonly type: NewType }
  | { readonly kind: 'change-type'; readonly change: TypeChange }
  | { readonly kind: 'remove-type'; readonly name: string }
  | { readonly kind: 'change-account'; readonly change: AccountChange }
  | { readonly kind: 'change-person'; readonly change: PersonChange }
  | { readonly kind: 'add-token'; readonly token: NewToken }
  | { readonly kind: 'remove-token'; readonly name: string }
  | { readonly kind: 'add-enrolment'; readonly enrolment: NewEnrolment }
  | { readonly kind: 'enrol'; readonly sha256: string; readonly tokenSha256: string }
  /** Without a type, sets the account's password. */
  | { readonly kind: 'set-password'; readonly type: string | undefined; readonly password: string };

function applyEdit(document: Document, edit: MachineEdit, file: string): void {
  switch (edit.kind) {
    case 'add-type':
      withType(document, edit.type, file);
      break;
    case 'change-type':
      withTypeChanged(document, edit.change, file);
      break;
    case 'change-account':
      withAccountChanged(document, edit.change);
      break;
    case 'change-person':
      withPersonChanged(document, edit.change);
      break;
    case 'remove-type':
      withoutType(document, edit.name, file);
      break;
    case 'add-token':
      withToken(document, edit.token, file);
      break;
    case 'remove-token':
      withoutToken(document, edit.name, file);
      break;
    case 'add-enrolment':
      withEnrolment(document, edit.enrolment);
      break;
    case 'enrol':
      withEnrolmentUsed(document, edit.sha256, edit.tokenSha256, file);
      break;
    case 'set-password':
      withPassword(document, edit.type, edit.password, file);
      break;
  }
}

/**
 * Applies an edit to the text of a machine file. Keeps comments and order.
 * @throws {ConfigError} when the edit is not possible
 */
export function editMachineFile(source: string, edit: MachineEdit, file: string): string {
  return editYaml(file, source, (document) => applyEdit(document, edit, file));
}
