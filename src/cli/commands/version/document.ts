import * as v from 'valibot';
import { described } from '../../document-schema.ts';

/** The output of `metahub version --json`: the facts that a bug report must contain. */
export const VERSION_FACTS = v.object({
  version: described(v.string(), 'the version of MetaHub'),
  node: described(v.string(), 'the version of Node.js that runs it'),
  os: described(v.string(), 'the operating system, as Node.js names it: linux, darwin'),
  architecture: described(v.string(), 'the architecture, as Node.js names it: x64, arm64'),
});
