import type * as v from 'valibot';
import { CACHE_LIST, CACHE_PRUNING, CACHE_VERIFICATION } from './commands/cache/document.ts';
import { STATUS } from './commands/status/document.ts';
import { VERSION_FACTS } from './commands/version/document.ts';

interface DocumentKind {
  readonly title: string;
  readonly description: string;
  readonly schema: v.GenericSchema;
}

/**
 * What commands print with `--json`, by the name of its schema: schema/NAME.schema.json, which `npm run schemas`
 * writes. Commands import the types alone, so none of them loads a schema to print.
 */
export const JSON_DOCUMENTS = {
  'cache-ls': {
    title: 'Content of the store',
    description: 'What `metahub cache ls --json` prints.',
    schema: CACHE_LIST,
  },
  'cache-prune': {
    title: 'What was removed from the store',
    description: 'What `metahub cache prune --json` prints.',
    schema: CACHE_PRUNING,
  },
  'cache-verify': {
    title: 'Corrupt content of the store',
    description: 'What `metahub cache verify --json` prints.',
    schema: CACHE_VERIFICATION,
  },
  status: {
    title: 'MetaHub status',
    description:
      'What `metahub status --json` prints; /status.json of a mirror is the same without url and installed.',
    schema: STATUS,
  },
  version: {
    title: 'The version of MetaHub',
    description: 'What `metahub version --json` prints.',
    schema: VERSION_FACTS,
  },
} as const satisfies Readonly<Record<string, DocumentKind>>;

export type JsonDocumentName = keyof typeof JSON_DOCUMENTS;

type Frozen<Value> = Value extends object ? { readonly [Name in keyof Value]: Frozen<Value[Name]> } : Value;

/** A document that its schema describes. */
export type JsonDocument<Name extends JsonDocumentName> = Frozen<
  v.InferOutput<(typeof JSON_DOCUMENTS)[Name]['schema']>
>;
