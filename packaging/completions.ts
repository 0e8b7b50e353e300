import { join } from 'node:path';
import type { FileTree } from './file-tree.ts';
import { ROOT, run } from './project.ts';

/** Where each shell looks for what completes a program's name. */
const PLACES = {
  bash: 'usr/share/bash-completion/completions/metahub',
  zsh: 'usr/share/zsh/vendor-completions/_metahub',
  fish: 'usr/share/fish/vendor_completions.d/metahub.fish',
} as const;

/** Puts the completion of each shell, which the program itself prints, into a package's tree. */
export function addCompletions(tree: FileTree): void {
  for (const [shell, place] of Object.entries(PLACES)) {
    tree.write(place, run(process.execPath, [join(ROOT, 'bin/metahub.js'), 'completion', shell]));
  }
}
