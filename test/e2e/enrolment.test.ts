import { writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type CloudKeys, createCloudKeys, writePublicKeys } from '../support/cloud-keys.ts';
import { INSTANCE } from '../support/metadata-service.ts';
import { metahubProgram } from '../support/metahub.ts';
import {
  NETWORK_NAMESPACE,
  type NetworkNamespace,
  openNetworkNamespace,
} from '../support/network-namespace.ts';
import { run } from '../support/processes.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const SITE = 'http://127.0.0.1:5080';
const SERVER = fileURLToPath(new URL('../support/metadata-server.ts', import.meta.url));
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Variables that other programs look for their metadata service by. */
const ELSEWHERE = {
  AWS_EC2_METADATA_SERVICE_ENDPOINT: 'http://127.0.0.1:1',
  GCE_METADATA_HOST: '127.0.0.1:1',
  http_proxy: 'http://127.0.0.1:1',
  HTTP_PROXY: 'http://127.0.0.1:1',
  no_proxy: '127.0.0.1',
};

describeWith(
  [...NETWORK_NAMESPACE, 'openssl', 'curl'],
  'a machine that enrols with its cloud’s identity document',
  () => {
    let workplace: Workplace;
    let network: NetworkNamespace;
    let keys: CloudKeys;

    const metahub = (words: readonly string[], env: Readonly<Record<string, string>> = {}) =>
      network.programs.attempt(process.execPath, [metahubProgram, ...words], { env });

    beforeAll(async () => {
      workplace = openWorkplace();
      keys = await createCloudKeys();
      workplace.onClose(() => keys.openssl.remove());
      // The address that every cloud has for it, on the machine that asks.
      network = await openNetworkNamespace(workplace, ['169.254.169.254/32']);
      const file = join(workplace.directory, 'keys.json');
      writeFileSync(file, JSON.stringify({ aws: keys.aws, azure: keys.azure, gcp: keys.gcp }), {
        mode: 0o600,
      });
      const service = await network.programs.startServer({
        command: process.execPath,
        args: ['--import', 'tsx', SERVER, file],
        cwd: ROOT,
        ready: /^listening$/m,
      });
      workplace.onClose(() => service.stop());

      const machines = workplace.folder('machines.d');
      await run(
        process.execPath,
        [metahubProgram, 'machine', 'add', 'nodes', '--machines', machines, '--password-stdin'],
        {
          input: 'secret\n',
        },
      );
      for (const type of ['spr', 'zen4', 'n2']) {
        await run(process.execPath, [
          metahubProgram,
          'machine',
          'add',
          'nodes',
          type,
          '--feature',
          'cpu:zen4',
          '--machines',
          machines,
        ]);
      }
      const files = writePublicKeys(workplace.directory, keys);
      const rule = (cloud: keyof typeof files, owner: string, pattern: string, type: string) => ({
        ...{ cloud, keys: files[cloud], accounts: [owner], account: 'nodes', types: { [pattern]: type } },
      });
      const settings = {
        listen: '127.0.0.1:5080',
        siteUrl: SITE,
        machines,
        data: workplace.folder('data'),
        enrolment: [
          rule('aws', INSTANCE.aws.accountId, 'c7i.*', 'spr'),
          rule('azure', INSTANCE.azure.subscriptionId, '*', 'zen4'),
          rule('gcp', INSTANCE.gcp.project_id, 'c3-*', 'n2'),
        ],
      };
      const config = join(workplace.directory, 'config.yaml');
      writeFileSync(config, JSON.stringify(settings)); // JSON is YAML
      const site = await network.programs.startServer({
        command: process.execPath,
        args: [metahubProgram, 'serve', '--config', config],
        ready: /"?listening|MetaHub serves/,
      });
      workplace.onClose(() => site.stop());
    });
    afterAll(() => workplace?.close());

    test.each([
      ['aws', 'nodes-spr', INSTANCE.aws.instanceId],
      ['azure', 'nodes-zen4', INSTANCE.azure.vmId],
      ['gcp', 'nodes-n2', INSTANCE.gcp.instance_id],
    ])(
      'in %s enrols once, by the metadata service at its own address, whatever variables say',
      async (cloud, login, id) => {
        const authFile = join(workplace.directory, `${cloud}.json`);
        const words = [
          'login',
          '127.0.0.1:5080',
          '--enrol',
          cloud,
          '--runtime',
          'metahub',
          '--auth-file',
          authFile,
        ];
        const { status, stdout, stderr } = await metahub(words, ELSEWHERE);
        expect({ status, stdout, stderr }).toEqual({
          status: 0,
          stdout: `metahub is logged in to 127.0.0.1:5080 as ${login}\n`,
          stderr: '',
        });
        const { auths } = JSON.parse(await readFile(authFile, 'utf8'));
        const [user = '', token = ''] = atob(auths['127.0.0.1:5080'].auth).split(':');
        expect(user).toBe(login);
        const asked = [
          '--silent',
          '--output',
          '/dev/null',
          '--write-out',
          '%{http_code}',
          '--user',
          `${user}:${token}`,
        ];
        expect(await network.programs.run('curl', [...asked, `${SITE}/v2/`])).toBe('200');
        const list = await metahub(['token', 'list', '--machines', join(workplace.directory, 'machines.d')]);
        expect(list.stdout).toContain(`${cloud}-${id}`);

        const again = await metahub(words, ELSEWHERE);
        expect([again.status, again.stderr]).toEqual([1, expect.stringContaining('or it was used')]);
      },
    );

    test('a machine elsewhere is told that no such service answers', async () => {
      const bare = await openNetworkNamespace(workplace);
      for (const cloud of ['aws', 'gcp']) {
        const words = ['login', '127.0.0.1:5080', '--enrol', cloud, '--runtime', 'metahub'];
        const { status, stderr } = await bare.programs.attempt(process.execPath, [metahubProgram, ...words]);
        expect(status).toBe(1);
        expect(stderr).toContain(
          `the metadata service of ${cloud} does not answer: connect ENETUNREACH 169.254.169.254:80`,
        );
      }
    });
  },
);
