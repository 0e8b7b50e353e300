import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DEBIAN_TREE, openDebianTree, snapshotOf } from '../support/debian-tree.ts';
import { run } from '../support/processes.ts';
import { describeWith } from '../support/required-programs.ts';
import { bootTree, SYSTEMD, type Systemd } from '../support/systemd.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MIRROR = 'metahub.service';

/** What a running system and dpkg itself write. */
const NOT_OURS =
  /^\/(proc|sys|dev|run|tmp)\/|^\/var\/(log|lib\/dpkg|lib\/systemd|lib\/private|cache\/(ldconfig|private)|cache\/debconf)(\/|$)|^\/etc\/machine-id$|^\/usr\/lib\/sysimage/;

describeWith(
  [...DEBIAN_TREE, ...SYSTEMD, 'dpkg-deb', 'npm'],
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
    beforeAll(async () => {
      workplace = openWorkplace();
      tree = await openDebianTree(workplace);
      const built = await run('npm', ['run', '--silent', 'package', '--', 'deb', '--quick'], {
        cwd: ROOT,
        timeoutMs: 240_000,
      });
      deb = built.trim().split('\n').pop() ?? '';
      before = snapshotOf(tree, NOT_OURS);
      systemd = await bootTree(workplace, tree);
      await run('cp', [deb, join(tree, 'metahub.deb')]);
    }, 600_000);
    afterAll(() => workplace?.close());

    test('installs, with nothing missing, and the mirror serves at once', async () => {
      const { status, stdout, stderr } = await systemd.attempt('dpkg', '--install', '/metahub.deb');
      expect({ status, stderr }, stdout).toEqual({
        status: 0,
        stderr: expect.stringMatching(/^(Created symlink .*\n)*$/),
      });
      expect(await systemd.property(MIRROR, 'ActiveState')).toBe('active');
      expect(await ask('/v2/')).toBe('200\n');
      for (const unit of [MIRROR, 'metahub.socket', 'metahub-detect.service'])
        expect(await systemd.property(unit, 'UnitFileState'), unit).toBe('enabled');
    });

    test('brings its own Node.js, and the code cache is that Node.js’s', async () => {
      expect(existsSync(join(tree, 'usr/bin/node'))).toBe(false);
      expect(await systemd.run('metahub', '--version')).toMatch(/^\d+\.\d+\.\d+\n$/);
      const script =
        "console.log(require('/usr/lib/metahub/bin/load.js').load('main').script.cachedDataRejected)";
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

    test('a mirror that fails at every start is started again, also after more failures than systemd’s limit', async () => {
      const dropIn = '/run/systemd/system/metahub.service.d';
      const failing = `mkdir -p ${dropIn} && printf '[Service]\\nExecStart=\\nExecStart=/bin/false\\nRestartSec=100ms\\n' >${dropIn}/failing.conf`;
      await systemd.run('sh', '-c', `${failing} && systemctl daemon-reload`);
      await systemd.attempt('systemctl', 'restart', MIRROR);
      await expect
        .poll(async () => Number(await systemd.property(MIRROR, 'NRestarts')), { timeout: 30_000 })
        .toBeGreaterThan(12);
      await systemd.run('sh', '-c', `rm -r ${dropIn} && systemctl daemon-reload`);
      await expect.poll(() => systemd.property(MIRROR, 'ActiveState'), { timeout: 30_000 }).toBe('active');
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

    test('removed, it stops and keeps what the operator wrote; purged, it leaves nothing', async () => {
      await systemd.run('sh', '-c', 'echo "{}" >/etc/metahub/auth.json');
      await systemd.run('dpkg', '--remove', 'metahub');
      expect(await systemd.property(MIRROR, 'ActiveState')).toBe('inactive');
      expect(existsSync(join(tree, 'etc/metahub/config.yaml'))).toBe(true);
      await systemd.run('dpkg', '--purge', 'metahub');
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
