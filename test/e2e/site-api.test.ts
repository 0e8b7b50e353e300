import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../support/folder.ts';
import { run } from '../support/processes.ts';
import { describeWith } from '../support/required-programs.ts';
import { basic, hashed } from '../support/site.ts';
import { serveWholeSite } from '../support/site-server.ts';
import { repository } from '../support/upstream.ts';

interface Example {
  readonly command: string;
  readonly output: string;
}

/** What docs/api.md tells to type, and what it says comes of it. */
async function examples(): Promise<readonly Example[]> {
  const page = await readFile(new URL('../../docs/api.md', import.meta.url), 'utf8');
  const blocks = [...page.matchAll(/^```console\n([\s\S]*?)^```/gm)].map(([, block = '']) => block);
  return blocks.flatMap((block) =>
    block
      .split(/^\$ /m)
      .filter((text) => text !== '')
      .map((text) => {
        const end = text.indexOf('\n');
        return { command: text.slice(0, end), output: text.slice(end + 1) };
      }),
  );
}

/** `…` stands for anything. */
function expected(output: string): RegExp {
  const escaped = output.trim().replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${escaped.replaceAll('…', '[^\\n]*')}$`);
}

describeWith(['curl'], 'the examples of docs/api.md', () => {
  test('answer as the document says, one after the other', async () => {
    const site = await serveWholeSite({
      'root.yaml': `user: root\npassword: "${await hashed('root')}"\nrole: admin\n`,
      'qnib.yaml': `user: qnib\npassword: "${await hashed('qnib')}"\n`,
    });
    const manifest = {
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest: `sha256:${'1'.repeat(64)}`,
      size: 1,
    };
    const platform = { os: 'linux', architecture: 'amd64', features: ['cpu:broadwell'] };
    const generic = {
      ...manifest,
      digest: `sha256:${'2'.repeat(64)}`,
      platform: { os: 'linux', architecture: 'amd64' },
    };
    const index = { schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json' };
    const document = { ...index, manifests: [{ ...manifest, platform }, generic] };
    site.upstream.putManifest(document, { tag: 'latest', repository: repository('qnib/bench', 'docker.io') });
    const home = temporaryFolder();
    await writeFile(join(home, '.netrc'), 'machine 127.0.0.1 login root password root\n', { mode: 0o600 });
    let etag = '';
    const all = await examples();
    expect(all.length).toBeGreaterThan(8);
    for (const { command, output } of all) {
      if (command.includes('/enrolments')) {
        // The machine type of the examples that follow.
        const json = { name: 'type1', features: ['cpu:broadwell'] };
        const added = await site.ask('/api/v1/accounts/qnib/types', { method: 'POST', as: 'root', json });
        expect(added.status).toBe(201);
      }
      if (command.includes('/images')) {
        for (let pull = 0; pull < 2; pull += 1) {
          await site.pull('qnib/bench:latest', basic('qnib-type1', 'qnib'));
        }
      }
      const typed = command.replaceAll('127.0.0.1:5080', `127.0.0.1:${site.port}`).replace('"…"', etag);
      const stdout = await run('sh', ['-c', typed.replace('curl ', 'curl --silent --show-error ')], {
        env: { HOME: home },
      });
      const tag = /^etag: (.*)$/im.exec(stdout)?.[1]?.trim();
      if (tag !== undefined && command.includes('--head ')) etag = tag;
      if (command.includes('--head ')) expect(stdout).toMatch(/^etag: "/im);
      else expect(stdout.trim(), command).toMatch(expected(output));
    }
  });
});
