import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Digest, encodedOf } from '../../src/oci/digest.ts';
import { MIRRORED_REGISTRY, type MirroredRegistry, mirroredRegistry } from '../support/mirrored-registry.ts';
import { attempt, type ProgramResult, run } from '../support/processes.ts';
import { writeRegistriesFiles } from '../support/registries-conf.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const REPOSITORY = 'qnib/bench';
const NAME = `docker.io/${REPOSITORY}`;

/** What podman, CRI-O and skopeo check by policy.json: signatures of GnuPG in a place beside the registry. */
describeWith(
  [...MIRRORED_REGISTRY, 'skopeo', 'gpg', 'gpgconf'],
  'signatures that a client demands, through MetaHub',
  () => {
    let workplace: Workplace;
    let scene: MirroredRegistry;
    let folder: string;
    let env: Record<string, string>;
    let fingerprint: string;
    let copies = 0;

    async function signEntry(digest: Digest): Promise<void> {
      const manifest = join(folder, 'manifest.json');
      const answer = await fetch(`${scene.registry.url}/v2/${REPOSITORY}/manifests/${digest}`, {
        headers: { accept: 'application/vnd.docker.distribution.manifest.v2+json' },
      });
      writeFileSync(manifest, Buffer.from(await answer.arrayBuffer()));
      const signature = join(folder, 'lookaside', `${REPOSITORY}@sha256=${encodedOf(digest)}/signature-1`);
      mkdirSync(dirname(signature), { recursive: true });
      await run(
        'skopeo',
        ['standalone-sign', '--output', signature, manifest, `${NAME}:latest`, fingerprint],
        {
          env,
        },
      );
    }

    /** Copies the image of a host of this kind under the policy that the documents show. */
    async function copyAs(host: string, ...options: readonly string[]): Promise<ProgramResult> {
      await scene.metahub.restart(host);
      const { configuration } = writeRegistriesFiles(folder, scene.metahub.url);
      copies += 1;
      const words = ['--registries-conf', configuration, '--policy', join(folder, 'policy.json')];
      const image = `docker://${NAME}:latest`;
      const target = `dir:${join(folder, `to-${copies}`)}`;
      return attempt(
        'skopeo',
        [
          ...words,
          '--registries.d',
          join(folder, 'registries.d'),
          'copy',
          '--quiet',
          ...options,
          image,
          target,
        ],
        { env },
      );
    }

    beforeAll(async () => {
      workplace = openWorkplace();
      scene = await mirroredRegistry(workplace);
      folder = workplace.folder('client');
      const home = workplace.folder('gnupg');
      await run('chmod', ['700', home]);
      env = { GNUPGHOME: home, REGISTRY_AUTH_FILE: writeRegistriesFiles(folder, scene.metahub.url).logins };
      workplace.onClose(async () => void (await attempt('gpgconf', ['--kill', 'all'], { env })));
      const batch = ['--batch', '--pinentry-mode', 'loopback', '--passphrase', ''];
      await run('gpg', [...batch, '--quick-generate-key', 'signer@example.org', 'rsa3072', 'sign'], { env });
      const keys = await run('gpg', ['--list-keys', '--with-colons'], { env });
      fingerprint = /^fpr:+([0-9A-F]{40}):/m.exec(keys)?.[1] ?? '';
      const key = join(folder, 'signer.gpg');
      await run('gpg', ['--export', '--output', key, fingerprint], { env });
      const requirement = { type: 'signedBy', keyType: 'GPGKeys', keyPath: key };
      const policy = {
        default: [{ type: 'reject' }],
        transports: { docker: { 'docker.io': [requirement] } },
      };
      writeFileSync(join(folder, 'policy.json'), JSON.stringify(policy));
      mkdirSync(join(folder, 'registries.d'));
      writeFileSync(
        join(folder, 'registries.d/lookaside.yaml'),
        `default-docker:\n  lookaside: file://${join(folder, 'lookaside')}\n`,
      );
      await signEntry(scene.images.bench.entry('cpu:broadwell'));
    });
    afterAll(() => workplace?.close());

    test('verifies the signature of the chosen entry, although the derived index is not signed', async () => {
      expect(await copyAs('cpu:broadwell', '--remove-signatures')).toMatchObject({ status: 0, stderr: '' });
    });

    test('refuses an entry without a signature', async () => {
      const { status, stderr } = await copyAs('cpu:skylake', '--remove-signatures');
      expect(status).not.toBe(0);
      expect(stderr).toContain('signature was required');
    });
  },
);
