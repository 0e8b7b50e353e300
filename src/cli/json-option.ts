import { Option } from 'commander';
import type { JsonDocumentName } from './json-documents.ts';

/** The name of a schema in schema/. The one of a profile also describes what `--profile` reads. */
export type SchemaName = JsonDocumentName | 'profile';

interface JsonForms {
  /** What else the option does: `with --watch, one line each time`. */
  readonly note?: string;
  /** Another option, or `[argument]` -> the schema of what the command prints with it. */
  readonly others?: Readonly<Record<string, SchemaName>>;
}

const fileOf = (schema: SchemaName) => `schema/${schema}.schema.json`;

/** The option `--json` of a command. Its help names the schema of what the command prints. */
export class JsonOption extends Option {
  readonly schema: SchemaName;
  readonly others: Readonly<Record<string, SchemaName>>;

  constructor(schema: SchemaName, { note, others = {} }: JsonForms = {}) {
    const further = Object.entries(others).map(([option, other]) => `; with ${option}: ${fileOf(other)}`);
    const what = note === undefined ? 'print JSON' : `print JSON; ${note}`;
    super('--json', `${what} (schema: ${fileOf(schema)}${further.join('')})`);
    this.schema = schema;
    this.others = others;
  }
}
