import * as v from 'valibot';
import { ACCOUNT_OPERATIONS } from './account-operations.ts';
import { ACTIVITY_OPERATIONS } from './activity-operations.ts';
import { GROUP_OPERATIONS } from './group-operations.ts';
import { type ApiOperation, operation } from './operation.ts';
import { TOKEN_OPERATIONS } from './token-operations.ts';
import { TYPE_OPERATIONS } from './type-operations.ts';

const DESCRIPTION = operation({
  id: 'getOpenApi',
  method: 'GET',
  path: '/openapi.json',
  summary: 'Shows this document; needs no login',
  answer: { status: 200, description: 'An OpenAPI 3.1 document.', schema: v.looseObject({}) },
  problems: [],
  document: async () => (await import('./openapi.ts')).openApiDocument(API_OPERATIONS),
});

/** All operations of the API. */
export const API_OPERATIONS: readonly ApiOperation[] = [
  ...ACCOUNT_OPERATIONS,
  ...GROUP_OPERATIONS,
  ...TYPE_OPERATIONS,
  ...TOKEN_OPERATIONS,
  ...ACTIVITY_OPERATIONS,
  DESCRIPTION,
];
