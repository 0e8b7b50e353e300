import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { toJsonSchema } from '@valibot/to-json-schema';
import { STATUS } from '../src/cli/commands/status/document.ts';

/** `schema/status.schema.json`, from what the program itself reads and prints. */
export function statusSchema(): string {
  const schema = {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'MetaHub status',
    description:
      'What `metahub status --json` prints; /status.json of a mirror is the same without url and installed.',
    ...toJsonSchema(STATUS, { target: 'draft-2020-12', typeMode: 'output' }),
  };
  return `${JSON.stringify(schema, undefined, 2)}\n`;
}

const target = fileURLToPath(new URL('../schema/status.schema.json', import.meta.url));
if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(target, statusSchema());
