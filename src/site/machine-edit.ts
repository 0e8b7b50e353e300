import {
  type Document,
  isMap,
  isScalar,
  isSeq,
  parseDocument,
  stringify,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml';
import { ConfigError } from '../lib/config-error.ts';

/** A machine type as it is written to a file. */
export interface NewType {
  readonly name: string;
  readonly features: readonly string[];
  readonly login?: string | undefined;
  /** The written hash; absent: the account's own password. */
  readonly password?: string | undefined;
}

/** An access token as it is written to a file. */
export interface NewToken {
  readonly name: string;
  readonly sha256: string;
  readonly expires?: Date | undefined;
  readonly repositories?: readonly string[] | undefined;
  /** May it push what its account may push? */
  readonly push?: boolean | undefined;
}

/** The text of a new account's file; without a password, each of its types needs one. */
export function newAccount(user: string, password: string | undefined): string {
  return stringify({ user, ...(password === undefined ? {} : { password }) });
}

function parseForEdit(source: string, file: string): Document {
  const document = parseDocument(source);
  const [broken] = document.errors;
  if (broken === undefined) return document;
  const [why = ''] = broken.message.split('\n', 1);
  throw new ConfigError('invalid-value', why, { file, cause: broken });
}

function listOf(document: Document, key: 'types' | 'tokens'): YAMLSeq | undefined {
  const list = document.get(key);
  return isSeq(list) ? list : undefined;
}

function positionOf(list: YAMLSeq | undefined, name: string): number {
  const isNamed = (item: unknown) =>
    isMap(item) && isScalar(item.get('name', true)) && item.get('name') === name;
  return list?.items.findIndex(isNamed) ?? -1;
}

function append(document: Document, key: 'types' | 'tokens', node: YAMLMap): void {
  if (listOf(document, key)) document.addIn([key], node);
  else document.set(key, document.createNode([node]));
}

function missingType(name: string, file: string): ConfigError {
  return new ConfigError('missing', `there is no machine type ${name}`, { file });
}

/** The text with one more type, comments and order kept. @throws {ConfigError} when there is one of that name. */
function withType(source: string, type: NewType, file: string): string {
  const document = parseForEdit(source, file);
  if (positionOf(listOf(document, 'types'), type.name) >= 0) {
    throw new ConfigError('exists', `there is a machine type ${type.name} already`, { file });
  }
  const { name, features, login, password } = type;
  const node = document.createNode({
    name,
    features,
    ...(login === undefined ? {} : { login }),
    ...(password === undefined ? {} : { password }),
  }) as YAMLMap;
  const list = node.get('features', true);
  if (isSeq(list)) list.flow = true;
  append(document, 'types', node);
  return String(document);
}

/** The text with one more access token. @throws {ConfigError} when there is one of that name. */
function withToken(source: string, token: NewToken, file: string): string {
  const document = parseForEdit(source, file);
  if (positionOf(listOf(document, 'tokens'), token.name) >= 0) {
    throw new ConfigError('exists', `there is a token ${token.name} already`, { file });
  }
  const { name, sha256, expires, repositories, push } = token;
  const node = document.createNode({
    name,
    sha256,
    ...(expires === undefined ? {} : { expires: expires.toISOString().replace(/\.\d+Z$/, 'Z') }),
    ...(repositories === undefined ? {} : { repositories }),
    ...(push === true ? { push } : {}),
  }) as YAMLMap;
  append(document, 'tokens', node);
  return String(document);
}

/** The text without an access token. @throws {ConfigError} when there is none of that name. */
function withoutToken(source: string, name: string, file: string): string {
  const document = parseForEdit(source, file);
  const position = positionOf(listOf(document, 'tokens'), name);
  if (position < 0) throw new ConfigError('missing', `there is no token ${name}`, { file });
  document.deleteIn(['tokens', position]);
  return String(document);
}

/** The text without a type. @throws {ConfigError} when there is none of that name. */
function withoutType(source: string, name: string, file: string): string {
  const document = parseForEdit(source, file);
  const position = positionOf(listOf(document, 'types'), name);
  if (position < 0) throw missingType(name, file);
  document.deleteIn(['types', position]);
  return String(document);
}

/** The text with another password: the account's, or a type's own. @throws {ConfigError} when there is no such type. */
function withPassword(source: string, type: string | undefined, password: string, file: string): string {
  const document = parseForEdit(source, file);
  if (type === undefined) {
    document.set('password', password);
    return String(document);
  }
  const position = positionOf(listOf(document, 'types'), type);
  if (position < 0) throw missingType(type, file);
  document.setIn(['types', position, 'password'], password);
  return String(document);
}

/** A change of an account's file. */
export type MachineEdit =
  | { readonly kind: 'add-type'; readonly type: NewType }
  | { readonly kind: 'remove-type'; readonly name: string }
  | { readonly kind: 'add-token'; readonly token: NewToken }
  | { readonly kind: 'remove-token'; readonly name: string }
  /** The account's own password where no type is named. */
  | { readonly kind: 'set-password'; readonly type: string | undefined; readonly password: string };

/** The changed text, comments and order kept. @throws {ConfigError} when the change is not possible. */
export function editMachineFile(source: string, edit: MachineEdit, file: string): string {
  switch (edit.kind) {
    case 'add-type':
      return withType(source, edit.type, file);
    case 'remove-type':
      return withoutType(source, edit.name, file);
    case 'add-token':
      return withToken(source, edit.token, file);
    case 'remove-token':
      return withoutToken(source, edit.name, file);
    case 'set-password':
      return withPassword(source, edit.type, edit.password, file);
  }
}
