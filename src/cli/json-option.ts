import { Option } from 'commander';
import type { JsonDocumentName } from './json-documents.ts';

interface JsonForms {
  /** What else the option does: `with --watch, one line each time`. */
  readonly note?: string;
  /** Another option, or `[argument]` -> the schema of what the command prints with it. */
  readonly others?: Readonly<Record<string, JsonDocumentName>>;
}

const fileOf = (schema: JsonDocumentName) => `schema/${schema}.schema.json`;

/** The option `--json` of a command. Its help names the schema of what the command prints. */
export class JsonOption extends Option {
  readonly schema: JsonDocumentName;
  readonly others: Readonly<Record<string, JsonDocumentName>>;

  constructor(schema: JsonDocumentName, { note, others = {} }: JsonForms = {}) {
    const further = [...new Set(Object.values(others))].map((other) => {
      const options = Object.keys(others).filter((option) => others[option] === other);
      return `; with ${options.join(' or ')}: ${fileOf(other)}`;
    });
    const what = note === undefined ? 'print JSON' : `print JSON; ${note}`;
    super('--json', `${what} (schema: ${fileOf(schema)}${further.join('')})`);
    this.schema = schema;
    this.others = others;
  }
}
