import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { metahubProgram } from '../../support/metahub.ts';
import { startServer } from '../../support/processes.ts';
import { dataDirectory } from '../../support/store.ts';
import { afterTest } from '../../support/upstream.ts';

const REPOSITORY = fileURLToPath(new URL('../../..', import.meta.url));

test('a mirror for its own host starts without what only a site, a request upstream or a configuration file needs', async () => {
  const data = await dataDirectory();
  const file = join(data, 'imports');
  writeFileSync(file, '');
  const words = ['serve', '--listen', '127.0.0.1:0', '--data', data, '--images', data];
  const server = await startServer({
    command: process.execPath,
    args: [
      ...[
        '--import',
        'tsx',
        '--import',
        './test/support/record-imports.mjs',
        '--input-type=module',
        '--eval',
      ],
      `import { main } from './src/cli/main.ts'; await main(${JSON.stringify(['node', 'metahub', ...words])});`,
    ],
    cwd: REPOSITORY,
    env: { METAHUB_IMPORTS: file, XDG_CONFIG_HOME: data },
    ready: /listening/,
  });
  afterTest(() => server.stop());
  const imports = readFileSync(file, 'utf8');
  expect(imports).toContain('/server/server.ts');
  for (const heavy of ['jose', 'yaml <-', 'systeminformation', 'serve/site.ts']) {
    expect(imports).not.toContain(heavy);
  }
});

test('a site without an account warns that nobody can log in, and says how to add one', async () => {
  const data = await dataDirectory();
  const words = ['serve', '--listen', '127.0.0.1:0', '--data', data, '--machines', join(data, 'none')];
  const server = await startServer({
    command: process.execPath,
    args: [metahubProgram, ...words],
    env: { XDG_CONFIG_HOME: data },
    ready: /("event":"no-accounts".*)/,
  });
  afterTest(() => server.stop());
  expect(server.announced[1]).toContain('metahub machine add USER');
});

test('a mirror warns of a variable that is most probably a misspelt setting', async () => {
  const data = await dataDirectory();
  const server = await startServer({
    command: process.execPath,
    args: [metahubProgram, 'serve', '--listen', '127.0.0.1:0', '--data', data, '--images', data],
    env: { XDG_CONFIG_HOME: data, METAHUB_CACH: 'off' },
    ready: /("level":"warning","event":"unknown-variable".*)/,
  });
  afterTest(() => server.stop());
  expect(server.announced[1]).toContain(
    'METAHUB_CACH: there is no such setting; did you mean METAHUB_CACHE?',
  );
});
