import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DEBIAN_TREE, openDebianTree, snapshotOf } from '../support/debian-tree.ts';
import { lineOf } from '../support/image-set.ts';
import { parseDocument } from '../support/json-documents.ts';
import { run } from '../support/processes.ts';
import { describeWith } from '../support/required-programs.ts';
import { bootTree, SYSTEMD, type Systemd } from '../support/systemd.ts';
import { openTreeHub } from '../support/tree-hub.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const METAHUB = join(ROOT, 'bin/metahub.js');
const MIRROR = 'metahub.service';

/** What a running system, apt, dpkg and the runtimes themselves write. */
const NOT_OURS =
  /^\/(proc|sys|dev|run|tmp)\/|^\/var\/(log|lib\/(apt|dpkg|systemd|private|docker|containerd|containers|cni)|cache\/(apt|ldconfig|private|debconf))(\/|$)|^\/etc\/(machine-id|docker\/key\.json|cni\/net\.d\/cni\.lock)$|^\/opt\/containerd|^\/usr\/lib\/sysimage/;

/** A machine of the test: no bridge, since its kernel is another's, and storage that works on any file system. */
const OPERATOR_FILES = {
  'etc/docker/daemon.json': '{\n  "iptables": false,\n  "bridge": "none",\n  "storage-driver": "vfs"\n}\n',
  'etc/containers/storage.conf':
    '[storage]\ndriver = "vfs"\nrunroot = "/run/containers/storage"\ngraphroot = "/var/lib/containers/storage"\n',
} as const;

/** All that apt and dpkg may say on stderr. */
const NOTHING_WRONG =
  /^((Created symlink|debconf: delaying package configuration|N: Download is performed).*\n)*$/;
const BENCH = 'docker.io/qnib/bench:latest';

describeWith(
  [...DEBIAN_TREE, ...SYSTEMD, 'dpkg-deb', 'npm', 'docker-registry', 'gcc', 'openssl'],
  'the Debian package on a minimal Debian 12 with a real systemd',
  () => {
    let workplace: Workplace;
    let systemd: Systemd;
    let tree: string;
    let before: ReadonlyMap<string, string>;
    const ask = (path: string) =>
      systemd.run(
        '/usr/lib/metahub/node',
        '--eval',
        `fetch('http://127.0.0.1:5080${path}').then((r) => console.log(r.status))`,
      );

    /** Rebuilds the package as another version whose mirror unit has another description. */
    async function nextVersion(deb: string): Promise<string> {
      const unpacked = workplace.folder('next');
      await run('dpkg-deb', ['--raw-extract', deb, unpacked]);
      const edit = (path: string, from: RegExp, to: string) => {
        const file = join(unpacked, path);
        writeFileSync(file, readFileSync(file, 'utf8').replace(from, to));
      };
      edit('DEBIAN/control', /^Version: .*$/m, 'Version: 99.0');
      edit(
        'usr/lib/systemd/system/metahub.service',
        /^Description=.*$/m,
        'Description=MetaHub of the next version',
      );
      const target = join(tree, 'next.deb');
      await run('dpkg-deb', ['-Zgzip', '-z1', '--build', unpacked, target]);
      return '/next.deb';
    }

    let deb: string;
    let fitting: string;
    beforeAll(async () => {
      workplace = openWorkplace();
      tree = await openDebianTree(workplace);
      const cpu = (await run(process.execPath, [METAHUB, 'detect', 'cpu'])).trim();
      fitting = `cpu:${cpu}`;
      const hub = await openTreeHub(workplace, tree, {
        'library/hello-world': [{ optimizedFor: 'generic' }],
        'library/other': [{ optimizedFor: 'generic' }],
        'qnib/bench': [{ optimizedFor: 'generic' }, { optimizedFor: fitting, features: [fitting] }],
      });
      for (const [path, text] of Object.entries(OPERATOR_FILES)) writeFileSync(join(tree, path), text);
      const built = await run('npm', ['run', '--silent', 'package', '--', 'deb', '--quick'], {
        cwd: ROOT,
        timeoutMs: 240_000,
      });
      deb = built.trim().split('\n').pop() ?? '';
      before = snapshotOf(tree, NOT_OURS);
      systemd = await bootTree(workplace, tree);
      await hub.start(systemd);
      await systemd.run('systemctl', 'start', 'containerd', 'docker');
      await run('cp', [deb, join(tree, 'metahub.deb')]);
    }, 600_000);
    afterAll(() => workplace?.close());

    test('three commands install it, configure the runtimes, and let doctor find no problem', async () => {
      const installed = await systemd.attempt('apt-get', 'install', '--yes', '/metahub.deb');
      expect(installed).toMatchObject({ status: 0, stderr: expect.stringMatching(NOTHING_WRONG) });
      await systemd.run('metahub', 'setup', 'all', '--reload');
      const { status, stdout } = await systemd.attempt('metahub', 'doctor', '--json');
      const { checks } = parseDocument('doctor', stdout);
      expect(checks.filter((check) => check.status !== 'pass')).toEqual([]);
      expect(status).toBe(0);
      expect(checks.map(({ name }) => name)).toEqual(
        expect.arrayContaining(
          ['docker', 'containerd', 'podman'].flatMap((runtime) => [
            `${runtime}: configured`,
            `${runtime}: uses the mirror`,
          ]),
        ),
      );
    });

    test('dockerd runs the variant that fits this host', async () => {
      await systemd.run('docker', 'pull', 'qnib/bench');
      expect(await systemd.run('docker', 'run', '--rm', '--network', 'none', 'qnib/bench')).toBe(
        `${lineOf(fitting)}\n`,
      );
    });

    test('containerd runs the variant that fits this host', async () => {
      await systemd.run('ctr', 'images', 'pull', '--hosts-dir', '/etc/containerd/certs.d', BENCH);
      // Of a container that ends at once, ctr now and then has copied nothing.
      let containers = 0;
      const runs = () => {
        containers += 1;
        // 0: the test's group has no controller of CPU time that could be set.
        return systemd.run('ctr', 'run', '--rm', '--cpu-shares', '0', BENCH, `bench${containers}`);
      };
      await expect.poll(runs).toBe(`${lineOf(fitting)}\n`);
    });

    test('podman runs the variant that fits this host', async () => {
      await systemd.run('podman', 'pull', '--quiet', BENCH);
      const limits = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'];
      const words = ['run', '--rm', '--cgroups', 'disabled', '--network', 'none', ...limits, BENCH];
      expect(await systemd.run('podman', ...words)).toBe(`${lineOf(fitting)}\n`);
    });

    test('metahub status names the pulls, and the runtimes that pulled', async () => {
      const { installed, decisions } = JSON.parse(await systemd.run('metahub', 'status', '--json')) as {
        installed: readonly { readonly configured: boolean; readonly lastSuccess: string | null }[];
        decisions: readonly { readonly image: string; readonly verdict: string; readonly entry: string }[];
      };
      expect(installed.map(({ configured, lastSuccess }) => configured && lastSuccess !== null)).toEqual([
        true,
        true,
        true,
      ]);
      expect(decisions).toContainEqual(
        expect.objectContaining({ image: BENCH, verdict: 'fitted', entry: fitting }),
      );
    });

    test('root’s cache, config and warm use the service’s data, say so, and leave no file that it cannot read', async () => {
      const { stdout, stderr } = await systemd.attempt('metahub', 'cache', 'ls');
      expect(stdout).toContain('docker.io/qnib/bench');
      expect(stderr).toContain('the data of the installed service in /var/cache/metahub');
      const shown = await systemd.run('metahub', 'config', 'show', '--origin');
      expect(shown).toMatch(/^data +service +\/var\/cache\/metahub$/m);
      await systemd.run('metahub', 'warm', 'library/other');
      await systemd.run('metahub', 'cache', 'verify');
      expect(await systemd.run('find', '/var/cache/private/metahub', '-uid', '0')).toBe('');
      expect(await systemd.run('metahub', 'cache', 'ls')).toContain('docker.io/library/other');
    });

    test('doctor fails for logins that the service’s user cannot read, until systemd hands them over', async () => {
      const credentials = async () => {
        const { stdout } = await systemd.attempt('metahub', 'doctor', '--json');
        const { checks } = parseDocument('doctor', stdout);
        return checks.find(({ name }) => name === 'credentials');
      };
      const login = '{"auths":{"registry.example":{"auth":"YTpi"}}}';
      await systemd.run('sh', '-c', `umask 077 && echo '${login}' >/etc/metahub/auth.json`);
      expect(await credentials()).toMatchObject({ status: 'fail' });
      const dropIn = '/run/systemd/system/metahub.service.d';
      const line = 'LoadCredential=auth.json:/etc/metahub/auth.json';
      const write = `mkdir -p ${dropIn} && printf '[Service]\\n${line}\\n' >${dropIn}/login.conf`;
      await systemd.run('sh', '-c', `${write} && systemctl daemon-reload && systemctl restart metahub`);
      expect(await credentials()).toMatchObject({ status: 'pass' });
      const pid = await systemd.property(MIRROR, 'MainPID');
      const environment = await systemd.run('cat', `/proc/${pid}/environ`);
      const folder = /CREDENTIALS_DIRECTORY=([^\0]+)/.exec(environment)?.[1];
      expect(await systemd.run('cat', `${folder}/auth.json`)).toBe(`${login}\n`);
      await systemd.run('sh', '-c', `rm -r ${dropIn} /etc/metahub/auth.json && systemctl daemon-reload`);
      await systemd.run('systemctl', 'restart', MIRROR);
    });

    test('the mirror serves at once after the installation, by enabled units', async () => {
      expect(await systemd.property(MIRROR, 'ActiveState')).toBe('active');
      expect(await ask('/v2/')).toBe('200\n');
      for (const unit of [MIRROR, 'metahub.socket', 'metahub-detect.service'])
        expect(await systemd.property(unit, 'UnitFileState'), unit).toBe('enabled');
    });

    test('brings its own Node.js, and the code cache is that Node.js’s', async () => {
      expect(existsSync(join(tree, 'usr/bin/node'))).toBe(false);
      expect(await systemd.run('metahub', '--version')).toMatch(/^\d+\.\d+\.\d+\n$/);
      const script =
        "console.log(require('/usr/lib/metahub/bin/metahub.js').load('serve').script.cachedDataRejected)";
      expect(await systemd.run('/usr/lib/metahub/node', '--eval', script)).toBe('false\n');
    });

    test('detects without a home and writes the profile', async () => {
      const profile = JSON.parse(await systemd.run('cat', '/run/metahub/profile.json'));
      expect(profile.platform.os).toBe('linux');
      const { status } = await systemd.attempt('env', '-i', '/usr/bin/metahub', 'detect', '--json');
      expect(status === 0 || status === 3).toBe(true);
    });

    test('a reload needs no kill program: the mirror keeps its process and answers', async () => {
      expect((await systemd.attempt('which', 'kill')).status).not.toBe(0);
      const pid = await systemd.property(MIRROR, 'MainPID');
      expect(await systemd.attempt('systemctl', 'reload', MIRROR)).toMatchObject({ status: 0, stderr: '' });
      expect(await systemd.property(MIRROR, 'MainPID')).toBe(pid);
      expect(await ask('/v2/')).toBe('200\n');
    });

    test('systemd starts a failing mirror again and again, also after more failures than its usual limit', async () => {
      const dropIn = '/run/systemd/system/metahub.service.d';
      const failing = `mkdir -p ${dropIn} && printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\nRestartSec=100ms\\n' >${dropIn}/failing.conf`;
      await systemd.run('sh', '-c', `${failing} && systemctl daemon-reload`);
      await systemd.attempt('systemctl', 'restart', MIRROR);
      await expect.poll(async () => Number(await systemd.property(MIRROR, 'NRestarts'))).toBeGreaterThan(12);
      await systemd.run('sh', '-c', `rm -r ${dropIn} && systemctl daemon-reload`);
      await expect.poll(() => systemd.property(MIRROR, 'ActiveState')).toBe('active');
      expect(await systemd.property('metahub.socket', 'ActiveState')).toBe('active');
      expect(await ask('/v2/')).toBe('200\n');
    });

    test('an upgrade keeps the operator’s settings and starts the mirror by the new unit', async () => {
      await systemd.run('sh', '-c', 'echo "tagMaxAge: 7s" >/etc/metahub/config.yaml');
      const pid = await systemd.property(MIRROR, 'MainPID');
      await systemd.run('dpkg', '--force-confold', '--install', await nextVersion(deb));
      expect(await systemd.property(MIRROR, 'NeedDaemonReload')).toBe('no');
      expect(await systemd.property(MIRROR, 'Description')).toBe('MetaHub of the next version');
      expect(await systemd.property(MIRROR, 'MainPID')).not.toBe(pid);
      expect(await ask('/v2/')).toBe('200\n');
      expect(await systemd.run('metahub', 'config', 'show')).toMatch(/^tagMaxAge +7s$/m);
    });

    test('a unit that the operator has disabled stays disabled over an upgrade', async () => {
      await systemd.run('systemctl', 'disable', 'metahub-detect.service');
      await systemd.run('dpkg', '--install', '/metahub.deb');
      expect(await systemd.property('metahub-detect.service', 'UnitFileState')).toBe('disabled');
    });

    test('removing it stops the mirror and keeps the operator’s files; purging it leaves nothing', async () => {
      await systemd.run('sh', '-c', 'echo "{}" >/etc/metahub/auth.json');
      await systemd.run('metahub', 'setup', '--remove');
      await systemd.run('apt-get', 'remove', '--yes', 'metahub');
      expect(await systemd.property(MIRROR, 'ActiveState')).toBe('inactive');
      expect(existsSync(join(tree, 'etc/metahub/config.yaml'))).toBe(true);
      await systemd.run('apt-get', 'purge', '--yes', 'metahub');
      await systemd.run('rm', '/metahub.deb', '/next.deb');
      const after = snapshotOf(tree, NOT_OURS);
      expect([...after].filter(([path, what]) => before.get(path) !== what)).toEqual([]);
      expect([...before.keys()].filter((path) => !after.has(path))).toEqual([]);
      expect((await systemd.attempt('systemctl', 'list-unit-files', '--no-legend', 'metahub*')).stdout).toBe(
        '',
      );
    });
  },
);
