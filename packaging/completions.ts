import { join } from 'node:path';
import type { FileTree } from './file-tree.ts';
import { ROOT, run } from './project.ts';

/** Where each shell looks for the completion of a program. */
const PLACES = {
  bash: 'usr/share/bash-completion/completions/metahub',
  zsh: 'usr/share/zsh/vendor-completions/_metahub',
  fish: 'usr/share/fish/vendor_completions.d/metahub.fish',
} as const;

/** Adds the completion of each shell to a package's tree. The program prints it. */
export function addCompletions(tree: FileTree): void {
  for (const [shell, place] of Object.entries(PLACES)) {
    tree.write(place, run(process.execPath, [join(ROOT, 'bin/metahub.js'), 'completion', shell]));
  }
}
