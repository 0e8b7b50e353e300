import { toJsonSchema } from '@valibot/to-json-schema';
import type { Schema } from '../../lib/schema.ts';
import { GAP } from '../../selection/gap-schema.ts';
import { ANSWER, HOST } from './activity-resources.ts';
import { API_PROBLEMS, type ApiProblemCode } from './api-problem.ts';
import type { ApiOperation } from './operation.ts';
import * as r from './resources.ts';
import { API_PATH } from './routes.ts';

/** Named schemas of the document. */
const COMPONENTS: Readonly<Record<string, Schema<unknown>>> = {
  Account: r.ACCOUNT,
  NewAccount: r.NEW_ACCOUNT,
  AccountChange: r.ACCOUNT_CHANGE,
  Group: r.GROUP,
  GroupRights: r.GROUP_RIGHTS,
  MachineType: r.MACHINE_TYPE,
  NewMachineType: r.NEW_MACHINE_TYPE,
  MachineTypeChange: r.MACHINE_TYPE_CHANGE,
  AccessToken: r.ACCESS_TOKEN,
  NewToken: r.NEW_TOKEN,
  MadeToken: r.MADE_TOKEN,
  Answer: ANSWER,
  Host: HOST,
  Gap: GAP,
  Problem: r.PROBLEM,
};
const NAMES = new Map<unknown, string>(Object.entries(COMPONENTS).map(([name, schema]) => [schema, name]));

/** Actions of valibot without an equivalent in JSON Schema. */
const IGNORED_ACTIONS = ['raw_check', 'raw_transform', 'trim', 'readonly'];

function refOf(name: string): object {
  return { $ref: `#/components/schemas/${name}` };
}

/** Builds the JSON Schema of a body. Named schemas become references. */
function jsonSchemaOf(schema: Schema<unknown>): object {
  const { $schema: _, ...written } = toJsonSchema(schema, {
    typeMode: 'input',
    target: 'draft-2020-12',
    ignoreActions: IGNORED_ACTIONS,
    overrideSchema: ({ valibotSchema }) => {
      const name = valibotSchema === schema ? undefined : NAMES.get(valibotSchema);
      return name === undefined ? undefined : refOf(name);
    },
  });
  return written;
}

function contentOf(schema: Schema<unknown>): object {
  const name = NAMES.get(schema);
  return { 'application/json': { schema: name === undefined ? jsonSchemaOf(schema) : refOf(name) } };
}

/** Problems of every operation that needs a login. */
const USUAL: readonly ApiProblemCode[] = [
  ...(['login-required', 'login-refused', 'too-many-failures', 'not-allowed', 'cross-site'] as const),
  ...(['invalid-query', 'unreadable', 'internal'] as const),
];
const OF_BODY: readonly ApiProblemCode[] = ['invalid-json', 'invalid-body', 'media-type', 'too-large'];
const OF_CHANGE: readonly ApiProblemCode[] = ['conflict', 'in-use', 'busy', 'read-only'];
const OF_EDIT: readonly ApiProblemCode[] = ['if-match-required', 'changed'];

function problemsOf({
  method,
  body,
  isEdit,
  isPut,
  problems,
  document,
}: ApiOperation): readonly ApiProblemCode[] {
  if (document) return ['internal'];
  return [
    ...USUAL,
    ...(body ? OF_BODY : []),
    ...(method === 'GET' ? [] : OF_CHANGE),
    ...(isEdit || isPut ? OF_EDIT : []),
    ...problems,
  ];
}

/** Builds one answer for each status, which several problems may share. */
function problemAnswers(operation: ApiOperation): Readonly<Record<string, object>> {
  const byStatus = new Map<number, string[]>();
  for (const code of problemsOf(operation)) {
    const [status, title] = API_PROBLEMS[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), `\`${code}\`: ${title}.`]);
  }
  const content = { 'application/problem+json': { schema: refOf('Problem') } };
  return Object.fromEntries(
    [...byStatus].map(([status, lines]) => [status, { description: lines.join(' '), content }]),
  );
}

const header = (description: string) => ({ description, schema: { type: 'string' } });
const LOCATION = header('the path of the new resource');
const parameter = (
  place: 'path' | 'query' | 'header',
  name: string,
  description: string,
  schema: object,
) => ({
  ...{ name, in: place, description, schema },
  ...(place === 'path' ? { required: true } : {}),
});

function parametersOf({
  path,
  method,
  list,
  query = {},
  isEdit,
  isPut,
  document,
}: ApiOperation): readonly object[] {
  const text = { type: 'string' };
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name);
  const inPath = { user: 'the account’s user name', name: 'the name of the machine type, token or group' };
  const limit = { type: 'integer', minimum: 1, maximum: 500, default: 100 };
  return [
    ...names.map((name) => parameter('path', name, inPath[name as keyof typeof inPath], text)),
    ...(list ? [parameter('query', 'limit', 'the maximum number of items', limit)] : []),
    ...(list ? [parameter('query', 'cursor', 'the start of the next part, from a Link header', text)] : []),
    ...(list?.byAccount ? [parameter('query', 'account', 'only items of this account', text)] : []),
    ...Object.entries(query).map(([name, description]) => parameter('query', name, description, text)),
    ...(method === 'GET' && !document
      ? [parameter('header', 'If-None-Match', 'the ETag of the client’s copy', text)]
      : []),
    ...(isEdit
      ? [{ ...parameter('header', 'If-Match', 'the ETag of the resource to change', text), required: true }]
      : []),
    ...(isPut
      ? [
          parameter('header', 'If-Match', 'the ETag of the existing resource; absent: it is added', text),
          parameter('header', 'If-None-Match', '*: the resource must not exist', text),
        ]
      : []),
  ];
}

function answersOf(operation: ApiOperation): object {
  const { answer, list, method, isPut, document } = operation;
  const { status, description, schema } = answer;
  const headers = {
    ...(status === 204 || document ? {} : { ETag: header('identifies the state of the resource') }),
    ...(list ? { Link: header('<…>; rel="next", when more items follow') } : {}),
    ...(status === 201 ? { Location: LOCATION } : {}),
  };
  const good = { description, headers, ...(schema ? { content: contentOf(schema) } : {}) };
  const isUnchanged = method === 'GET' && !document;
  return {
    [status]: good,
    ...(isPut
      ? {
          201: {
            ...good,
            description: 'The resource, which is new.',
            headers: { ...headers, Location: LOCATION },
          },
        }
      : {}),
    ...(isUnchanged ? { 304: { description: 'The resource has not changed since If-None-Match.' } } : {}),
    ...problemAnswers(operation),
  };
}

function operationObject(operation: ApiOperation): object {
  const { id, summary, description, body, document } = operation;
  return {
    ...{ operationId: id, summary },
    ...(description === undefined ? {} : { description }),
    ...(document ? { security: [] } : {}),
    parameters: parametersOf(operation),
    ...(body ? { requestBody: { required: true, content: contentOf(body) } } : {}),
    responses: answersOf(operation),
  };
}

/** Builds the OpenAPI 3.1 document. @see https://spec.openapis.org/oas/v3.1.1.html */
export function openApiDocument(operations: readonly ApiOperation[]): object {
  const paths: Record<string, Record<string, object>> = {};
  for (const operation of operations) {
    const known = paths[operation.path] ?? {};
    paths[operation.path] = { ...known, [operation.method.toLowerCase()]: operationObject(operation) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'MetaHub management API',
      version: '1.0.0',
      summary:
        'Manages the accounts, machine types and tokens of a site, and lists what its machines pulled.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: API_PATH }],
    security: [{ basic: [] }],
    paths,
    components: {
      schemas: Object.fromEntries(
        Object.entries(COMPONENTS).map(([name, schema]) => [name, jsonSchemaOf(schema)]),
      ),
      securitySchemes: {
        basic: { type: 'http', scheme: 'basic', description: 'An account’s user name and password.' },
      },
    },
  };
}
