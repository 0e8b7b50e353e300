import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { loadConfigFile } from '../../../src/cli/settings/file.ts';
import { openWorkplace } from '../../support/workplace.ts';

const workplace = openWorkplace();
afterAll(() => workplace.close());

function write(name: string, text: string): string {
  const path = join(workplace.directory, name);
  writeFileSync(path, text);
  return path;
}

test('a file of settings is read as YAML', async () => {
  const path = write('good.yaml', 'listen: 127.0.0.1:0\nset: [cpu:zen4]\n');
  expect(await loadConfigFile(path)).toMatchObject({
    path,
    content: { listen: '127.0.0.1:0', set: ['cpu:zen4'] },
  });
});

test('an empty file sets nothing', async () => {
  expect((await loadConfigFile(write('empty.yaml', '# nothing\n'))).content).toEqual({});
});

test.each([
  ['broken YAML is named by line', 'listen: [\n', /broken\.yaml:2:1: /],
  ['a list is refused', '- a\n', /broken\.yaml:1:1: the file must contain settings/],
  [
    'a billion laughs are not expanded',
    'a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n',
    /broken\.yaml:1:1: .*alias/,
  ],
])('loading the configuration file: %s', async (_, text, message) => {
  await expect(loadConfigFile(write('broken.yaml', text))).rejects.toThrow(message);
});

test('a configuration file that is named must exist', async () => {
  await expect(loadConfigFile(join(workplace.directory, 'absent.yaml'))).rejects.toThrow(
    /absent\.yaml: there is no such file/,
  );
});
