import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DEBIAN_TREE, openDebianTree } from '../support/debian-tree.ts';
import { attempt, run } from '../support/processes.ts';
import { describeWith } from '../support/required-programs.ts';
import { bootTree, SYSTEMD, type Systemd } from '../support/systemd.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const ANSIBLE = join(ROOT, 'deploy/ansible');

describeWith(
  [...DEBIAN_TREE, ...SYSTEMD, 'dpkg-deb', 'npm', 'ansible-playbook'],
  'the Ansible role on a minimal Debian 12 with a real systemd',
  () => {
    let workplace: Workplace;
    let systemd: Systemd;
    let tree: string;
    let deb: string;

    /** Runs the playbook; answers how many tasks have changed something. */
    async function play(variables: object = {}): Promise<number> {
      const file = join(workplace.directory, 'variables.json');
      writeFileSync(file, JSON.stringify({ metahub_package: deb, ...variables }));
      const { status, stdout, stderr } = await attempt(
        'ansible-playbook',
        ['--inventory', 'inventory', '--extra-vars', `@${file}`, join(ANSIBLE, 'site.yml')],
        {
          cwd: workplace.directory,
          timeoutMs: 240_000,
          env: {
            HOME: workplace.directory,
            LC_ALL: 'C.UTF-8',
            ANSIBLE_ROLES_PATH: join(ANSIBLE, 'roles'),
            ANSIBLE_PIPELINING: 'true',
            ANSIBLE_SSH_TRANSFER_METHOD: 'piped',
          },
        },
      );
      const changed = /ok=\d+ +changed=(\d+) +unreachable=0 +failed=0/.exec(stdout)?.[1];
      if (status !== 0 || changed === undefined) throw new Error(`${stdout}${stderr}`);
      return Number(changed);
    }

    beforeAll(async () => {
      workplace = openWorkplace();
      tree = await openDebianTree(workplace);
      // What Ansible's modules need on a managed node.
      const python = ['apt-get', 'install', '--yes', '--no-install-recommends', 'python3-apt'];
      await run('chroot', [tree, ...python], {
        env: { DEBIAN_FRONTEND: 'noninteractive' },
        timeoutMs: 300_000,
      });
      const words = ['run', '--silent', 'package', '--', 'deb', '--quick'];
      const built = await run('npm', words, { cwd: ROOT, timeoutMs: 240_000 });
      deb = built.trim().split('\n').pop() ?? '';
      systemd = await bootTree(workplace, tree);
      await systemd.run('systemctl', 'start', 'containerd');
      // In the place of ssh: the last word is what the other side's shell runs.
      const ssh = join(workplace.directory, 'ssh');
      const enter = systemd.enter.map((word) => `'${word}'`).join(' ');
      writeFileSync(ssh, `#!/bin/sh\nfor command; do :; done\nexec ${enter} sh -c "$command"\n`, {
        mode: 0o755,
      });
      const host = `node1 ansible_connection=ssh ansible_ssh_executable=${ssh} ansible_python_interpreter=/usr/bin/python3`;
      writeFileSync(
        join(workplace.directory, 'inventory'),
        `[metahub]\n${host} ansible_become=false ansible_remote_tmp=/var/tmp\n`,
      );
    }, 900_000);
    afterAll(() => workplace?.close());

    const settings = {
      metahub_config: { tagMaxAge: '7s' },
      metahub_images: {
        'bench.yml': {
          image: 'docker.io/qnib/bench',
          manifests: [{ image: 'docker.io/qnib/bench:generic' }],
        },
      },
      metahub_runtimes: ['containerd'],
    };

    test('the first run installs, writes settings and configures; the second changes nothing', async () => {
      expect(await play(settings)).toBeGreaterThan(0);
      expect(await systemd.property('metahub.service', 'ActiveState')).toBe('active');
      expect(await systemd.run('metahub', 'config', 'show')).toMatch(/^tagMaxAge +7s$/m);
      const hosts = join(tree, 'etc/containerd/certs.d/docker.io/hosts.toml');
      expect(readFileSync(hosts, 'utf8')).toContain('http://127.0.0.1:5080');
      expect(await play(settings)).toBe(0);
    }, 600_000);

    test('another setting is one change, which the mirror reads without a restart', async () => {
      const pid = await systemd.property('metahub.service', 'MainPID');
      // The file, and the handler that reloads.
      expect(await play({ ...settings, metahub_config: { tagMaxAge: '9s' } })).toBe(2);
      expect(await systemd.property('metahub.service', 'MainPID')).toBe(pid);
      expect(await systemd.run('metahub', 'config', 'show')).toMatch(/^tagMaxAge +9s$/m);
    });

    test('state absent restores the runtimes and purges the package; a second run changes nothing', async () => {
      expect(await play({ metahub_state: 'absent' })).toBeGreaterThan(0);
      const left = ['/usr/bin/metahub', '/etc/metahub', '/etc/containerd/certs.d/docker.io'];
      for (const path of left) expect((await systemd.attempt('test', '-e', path)).status, path).toBe(1);
      expect(await play({ metahub_state: 'absent' })).toBe(0);
    });
  },
);
