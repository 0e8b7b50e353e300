import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { toJsonSchema } from '@valibot/to-json-schema';
import type { GenericSchema } from 'valibot';
import { CatalogFile } from '../src/catalog/entry.ts';
import { BenchFile } from '../src/cli/commands/bench/file.ts';
import { JSON_DOCUMENTS } from '../src/cli/json-documents.ts';
import { ImageLists } from '../src/cli/settings/image-lists.ts';
import { settingsFile } from '../src/cli/settings/setting.ts';
import { SERVE_SETTINGS } from '../src/cli/settings/table.ts';
import { profileSchema } from '../src/host/profile-json.ts';
import { FeatureText } from '../src/selection/feature-schema.ts';
import { GAP_EVENT, GAPS } from '../src/selection/gap-schema.ts';
import { openApiDocument } from '../src/site/api/openapi.ts';
import { API_OPERATIONS } from '../src/site/api/operations.ts';
import { AccountFile, GroupsFile } from '../src/site/machine-file.ts';
import { addHelp, SCHEMA_HELP } from './schema-help.ts';

const FOLDER = fileURLToPath(new URL('../schema/', import.meta.url));
/** The base URL from which editors fetch the schemas. */
export const SCHEMA_URL = 'https://raw.githubusercontent.com/qnib/metahub/main/schema/';

interface FileKind {
  readonly title: string;
  readonly description: string;
  readonly schema: GenericSchema;
}

/** The kinds of files that people write, by the name of the JSON Schema. */
export const FILE_KINDS: Readonly<Record<string, FileKind>> = {
  settings: {
    title: 'Settings of MetaHub',
    description:
      'The configuration file, /etc/metahub/config.yaml. Flags and METAHUB_ variables are stronger.',
    schema: settingsFile(SERVE_SETTINGS),
  },
  images: {
    title: 'Virtual images',
    description: 'One list of images or several, in a file of images.d, or for metahub push.',
    schema: ImageLists,
  },
  machines: {
    title: 'An account of a site',
    description: 'A user, and the machine types that it logs in as, in a file of machines.d.',
    schema: AccountFile,
  },
  groups: {
    title: 'Groups of accounts',
    description: 'What the members of each group may pull: groups.yaml in machines.d.',
    schema: GroupsFile,
  },
  profile: {
    title: 'Host profile',
    description:
      'What a host is: written by metahub detect --json, read by --profile FILE. Readers ignore members they do not know.',
    schema: profileSchema(FeatureText, 'known'),
  },
  bench: {
    title: 'A benchmark',
    description: 'The permutations of an application and how its result is read: metahub bench --file.',
    schema: BenchFile,
  },
  catalogue: {
    title: 'An entry of the catalogue',
    description: 'What a publisher names by tags or leaves unsaid, and who says so.',
    schema: CatalogFile,
  },
};

/** Checks in code, which JSON Schema cannot express. */
const CODE = ['raw_check', 'trim'];

/** Adds the help of each setting to its property. */
function withHelp(properties: Readonly<Record<string, object>>) {
  return Object.fromEntries(
    Object.entries(properties).map(([name, property]) => {
      const { help } = SERVE_SETTINGS[name as keyof typeof SERVE_SETTINGS];
      return [name, { description: help, ...property }];
    }),
  );
}

/** Returns the JSON Schema of a kind of file. */
export function jsonSchemaOf(name: string): object {
  const kind = FILE_KINDS[name];
  if (kind === undefined) throw new Error(`there is no schema ${name}`);
  const { $schema, ...written } = toJsonSchema(kind.schema, {
    typeMode: 'input',
    target: 'draft-07',
    ignoreActions: CODE,
  });
  const { title, description } = kind;
  const schema =
    name === 'settings' ? { ...written, properties: withHelp(written.properties as never) } : written;
  const missing = addHelp(schema as never, SCHEMA_HELP[name] ?? {});
  if (missing.length > 0) {
    throw new Error(`schema-help.ts has no text for ${[...new Set(missing)].join(', ')} of ${name}`);
  }
  return { $schema, $id: `${SCHEMA_URL}${name}.schema.json`, title, description, ...schema };
}

/** Returns the text of `schema/NAME.schema.json`. */
export function schemaText(name: string): string {
  return `${JSON.stringify(jsonSchemaOf(name), undefined, 2)}\n`;
}

/** Documents that the program writes for other programs, by the name of the JSON Schema. */
export const DOCUMENT_KINDS: Readonly<Record<string, FileKind>> = {
  ...JSON_DOCUMENTS,
  gaps: {
    title: 'Builds that pulls lacked',
    description: 'What a mirror keeps in gaps.json and shows at /api/v1/gaps.',
    schema: GAPS,
  },
  'gap-event': {
    title: 'A build that a pull lacked',
    description: 'The data of the CloudEvent that `--gap-webhook` is sent of a new gap.',
    schema: GAP_EVENT,
  },
};

/** Returns the text of `schema/NAME.schema.json` for a document that the program writes. */
export function documentSchemaText(name: string): string {
  const kind = DOCUMENT_KINDS[name];
  if (kind === undefined) throw new Error(`there is no document ${name}`);
  const schema = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: kind.title,
    description: kind.description,
    ...toJsonSchema(kind.schema, {
      target: 'draft-2020-12',
      typeMode: 'output',
      ignoreActions: ['readonly'],
      // An excerpt says so: its document has further members.
      overrideSchema: ({ valibotSchema, jsonSchema }) =>
        valibotSchema.type === 'loose_object' ? { ...jsonSchema, additionalProperties: true } : undefined,
    }),
  };
  const missing = addHelp(schema as never, SCHEMA_HELP[name] ?? {});
  if (missing.length > 0) {
    throw new Error(`schema-help.ts has no text for ${[...new Set(missing)].join(', ')} of ${name}`);
  }
  return `${JSON.stringify(schema, undefined, 2)}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  mkdirSync(FOLDER, { recursive: true });
  for (const name of Object.keys(FILE_KINDS)) {
    writeFileSync(`${FOLDER}${name}.schema.json`, schemaText(name));
  }
  for (const name of Object.keys(DOCUMENT_KINDS)) {
    writeFileSync(`${FOLDER}${name}.schema.json`, documentSchemaText(name));
  }
  writeFileSync(
    `${FOLDER}openapi.json`,
    `${JSON.stringify(openApiDocument(API_OPERATIONS), undefined, 2)}\n`,
  );
}
