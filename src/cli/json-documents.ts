import type * as v from 'valibot';
import type { profileSchema } from '../host/profile-json.ts';
import { BENCH_REPORT } from './commands/bench/document.ts';
import { CACHE_LIST, CACHE_PRUNING, CACHE_VERIFICATION } from './commands/cache/document.ts';
import { CATALOG_ENTRY, CATALOG_LIST, CATALOG_TEST } from './commands/catalog/document.ts';
import { CONFIG_CHECK, CONFIG_IN_FORCE } from './commands/config/document.ts';
import { COMPILER_ANSWER, DETECTED_VALUES, DETECTION_CHECKS, WHY_NOT } from './commands/detect/document.ts';
import { DOCTOR_REPORT } from './commands/doctor/document.ts';
import { EXPLANATION, LEAST_HARDWARE } from './commands/explain/document.ts';
import { RANKED_GAPS } from './commands/gaps/document.ts';
import { GROUP_LIST } from './commands/group/document.ts';
import { INSPECTION } from './commands/inspect/document.ts';
import { ACCOUNT_LIST, CREATED_ENROLMENT } from './commands/machine/document.ts';
import { SETUP_REPORT } from './commands/setup/document.ts';
import { STATUS } from './commands/status/document.ts';
import { CREATED_TOKEN, TOKEN_LIST } from './commands/token/document.ts';
import { VERSION_FACTS } from './commands/version/document.ts';
import { WARMED_IMAGES } from './commands/warm/document.ts';

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
  'bench-results': {
    title: 'A measurement of the entries of an image',
    description: 'What `metahub bench --json` prints.',
    schema: BENCH_REPORT,
  },
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
  'catalog-ls': {
    title: 'The catalogue',
    description: 'What `metahub catalog ls --json` prints.',
    schema: CATALOG_LIST,
  },
  'catalog-show': {
    title: 'An entry of the catalogue, and whether it applies',
    description: 'What `metahub catalog show --json` prints.',
    schema: CATALOG_ENTRY,
  },
  'catalog-test': {
    title: 'What hosts get from an entry of the catalogue',
    description: 'What `metahub catalog test --json` prints.',
    schema: CATALOG_TEST,
  },
  'config-check': {
    title: 'What is wrong with the configuration',
    description: 'What `metahub config check --json` prints.',
    schema: CONFIG_CHECK,
  },
  'config-show': {
    title: 'The settings in force',
    description: 'What `metahub config show --json` prints.',
    schema: CONFIG_IN_FORCE,
  },
  'detect-compiler': {
    title: 'How a compiler builds for a host',
    description: 'What `metahub detect --compiler NAME@VERSION --json` prints.',
    schema: COMPILER_ANSWER,
  },
  'detect-value': {
    title: 'Values of a host',
    description: 'What `metahub detect VALUE --json` and `metahub detect --features --json` print.',
    schema: DETECTED_VALUES,
  },
  'detect-verify': {
    title: 'How detection compares with other programs',
    description: 'What `metahub detect --verify --json` prints.',
    schema: DETECTION_CHECKS,
  },
  'detect-why-not': {
    title: 'Why a host does not run a microarchitecture',
    description: 'What `metahub detect --why-not NAME --json` prints.',
    schema: WHY_NOT,
  },
  doctor: {
    title: 'The checks of a machine',
    description: 'What `metahub doctor --json` prints.',
    schema: DOCTOR_REPORT,
  },
  explain: {
    title: 'What hosts get of an image, and why',
    description: 'What `metahub explain --json` prints.',
    schema: EXPLANATION,
  },
  'explain-requires': {
    title: 'The least hardware that runs an image',
    description: 'What `metahub explain --requires --json` prints.',
    schema: LEAST_HARDWARE,
  },
  'gaps-ranked': {
    title: 'Missing builds, the most wanted first',
    description: 'What `metahub gaps --json` prints.',
    schema: RANKED_GAPS,
  },
  'group-list': {
    title: 'Groups of a site',
    description: 'What `metahub group list --json` prints.',
    schema: GROUP_LIST,
  },
  inspect: {
    title: 'What an image name refers to',
    description: 'What `metahub inspect --json` prints.',
    schema: INSPECTION,
  },
  'machine-enrol': {
    title: 'A new enrolment of a machine',
    description: 'What `metahub machine enrol --json` prints.',
    schema: CREATED_ENROLMENT,
  },
  'machine-list': {
    title: 'Accounts and machine types of a site',
    description: 'What `metahub machine list --json` prints.',
    schema: ACCOUNT_LIST,
  },
  setup: {
    title: 'What setup did with the runtimes',
    description: 'What `metahub setup --json` prints.',
    schema: SETUP_REPORT,
  },
  status: {
    title: 'MetaHub status',
    description:
      'What `metahub status --json` prints; /status.json of a mirror is the same without url and installed.',
    schema: STATUS,
  },
  'token-create': {
    title: 'A new access token',
    description: 'What `metahub token create --json` prints.',
    schema: CREATED_TOKEN,
  },
  'token-list': {
    title: 'Access tokens of a site',
    description: 'What `metahub token list --json` prints.',
    schema: TOKEN_LIST,
  },
  version: {
    title: 'The version of MetaHub',
    description: 'What `metahub version --json` prints.',
    schema: VERSION_FACTS,
  },
  warm: {
    title: 'Images that were fetched',
    description: 'What `metahub warm --json` prints.',
    schema: WARMED_IMAGES,
  },
} as const satisfies Readonly<Record<string, DocumentKind>>;

/** The profile of a host has the schema of the file that `--profile` reads. */
interface Printed extends PrintedDocuments {
  readonly profile: v.InferInput<ReturnType<typeof profileSchema>>;
}
type PrintedDocuments = {
  readonly [Name in keyof typeof JSON_DOCUMENTS]: v.InferOutput<(typeof JSON_DOCUMENTS)[Name]['schema']>;
};

export type JsonDocumentName = keyof Printed;

type Frozen<Value> = Value extends object ? { readonly [Name in keyof Value]: Frozen<Value[Name]> } : Value;

/** A document that its schema describes. */
export type JsonDocument<Name extends JsonDocumentName> = Frozen<Printed[Name]>;
