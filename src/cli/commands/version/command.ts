import type { Command } from 'commander';
import { helpText } from '../../help-text.ts';
import { JsonOption } from '../../json-option.ts';
import { documentText } from '../../output.ts';
import { VERSION } from '../../version.ts';

/** The facts that a bug report must contain. */
function versionFacts() {
  return { version: VERSION, node: process.versions.node, os: process.platform, architecture: process.arch };
}

/** Adds the option and the action of `metahub version`. */
export function configure(command: Command): void {
  command
    .addOption(
      new JsonOption('version', {
        note: 'also the version of Node.js, the operating system and the architecture',
      }),
    )
    .addHelpText('after', helpText([['metahub version'], ['metahub version --json | jq -r .version']]))
    .action(({ json }: { readonly json?: boolean }) => {
      process.stdout.write(json ? documentText<'version'>(versionFacts()) : `${VERSION}\n`);
    });
}
