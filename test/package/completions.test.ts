import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { addCompletions } from '../../packaging/completions.ts';
import { FileTree } from '../../packaging/file-tree.ts';
import { temporaryFolder } from '../support/folder.ts';

test('the Debian package carries the completion of each shell where Debian’s shells look for it', () => {
  const folder = temporaryFolder();
  const tree = new FileTree(folder);
  addCompletions(tree);
  expect(tree.files()).toEqual([
    'usr/share/bash-completion/completions/metahub',
    'usr/share/fish/vendor_completions.d/metahub.fish',
    'usr/share/zsh/vendor-completions/_metahub',
  ]);
  const [bash = '', fish = '', zsh = ''] = tree
    .files()
    .map((path) => readFileSync(join(folder, path), 'utf8'));
  expect(bash).toMatch(/^complete -F _metahub metahub$/m);
  expect(fish).toMatch(/^complete -c metahub /m);
  expect(zsh).toMatch(/^#compdef metahub$/m);
});
