import type { Command } from 'commander';
import { jsonText } from '../../../lib/text.ts';
import { helpText } from '../../help-text.ts';
import { VERSION } from '../../version.ts';

/** The facts that a bug report must contain. */
function versionFacts() {
  return { version: VERSION, node: process.versions.node, os: process.platform, architecture: process.arch };
}

/** Adds the option and the action of `metahub version`. */
export function configure(command: Command): void {
  command
    .option('--json', 'print JSON: also the version of Node.js, the operating system and the architecture')
    .addHelpText('after', helpText([['metahub version'], ['metahub version --json | jq -r .version']]))
    .action(({ json }: { readonly json?: boolean }) => {
      process.stdout.write(json ? `${jsonText(versionFacts(), 2)}\n` : `${VERSION}\n`);
    });
}
