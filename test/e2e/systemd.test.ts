import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createAuthority } from '../support/certificates.ts';
import { describeWith } from '../support/required-programs.ts';
import { bootSystemd, SYSTEMD, type Systemd } from '../support/systemd.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const MIRROR = 'metahub.service';

/** Asks for `/v2/`, from inside, as often as told, one after the other; answers how often it was 200. */
const ASK = `
  const times = Number(process.argv[1]);
  let good = 0;
  for (let done = 0; done < times; done += 1) {
    const response = await fetch('http://127.0.0.1:5080/v2/', { headers: { connection: 'close' } }).catch(() => ({}));
    if (response.status === 200) good += 1;
  }
  console.log(good);
`;

describeWith([...SYSTEMD, 'curl', 'openssl'], 'a real systemd with the units', () => {
  let workplace: Workplace;
  let systemd: Systemd;
  const ask = async (times: number) =>
    Number(await systemd.run('/usr/local/bin/node', '--input-type=module', '--eval', ASK, String(times)));

  beforeAll(async () => {
    workplace = openWorkplace();
    systemd = await bootSystemd(workplace);
  });
  afterAll(() => workplace?.close());

  test('detection writes what this machine is, for everyone to read', async () => {
    await systemd.run('systemctl', 'start', 'metahub-detect.service');
    const profile = JSON.parse(await systemd.run('cat', '/run/metahub/profile.json')) as {
      readonly platform: { readonly os: string };
      readonly features: readonly string[];
    };
    expect(profile.platform.os).toBe('linux');
    expect(profile.features.some((feature) => feature.startsWith('cpu:'))).toBe(true);
    expect(await systemd.run('ls', '/run/metahub')).toBe('profile.json\n');
    expect(await systemd.run('stat', '--format', '%a', '/run/metahub/profile.json')).toBe('644\n');
  });

  test('the first request starts the mirror', async () => {
    await systemd.run('systemctl', 'start', 'metahub.socket');
    expect(await systemd.property(MIRROR, 'ActiveState')).toBe('inactive');
    expect(await ask(1)).toBe(1);
    expect(await systemd.property(MIRROR, 'ActiveState')).toBe('active');
  });

  test('the mirror runs as a user of its own, without capabilities, behind a filter of system calls', async () => {
    await systemd.run('systemctl', 'start', MIRROR);
    const status = await systemd.run('cat', `/proc/${await systemd.property(MIRROR, 'MainPID')}/status`);
    const line = (name: string) => new RegExp(`^${name}:\\s+(\\S+)`, 'm').exec(status)?.[1];
    expect(Number(line('Uid'))).toBeGreaterThanOrEqual(61184);
    expect(line('CapEff')).toBe('0000000000000000');
    expect(line('CapBnd')).toBe('0000000000000000');
    expect(line('NoNewPrivs')).toBe('1');
    expect(line('Seccomp')).toBe('2');
  });

  test('a restart in the middle of 300 requests loses none', async () => {
    await systemd.run('systemctl', 'start', MIRROR);
    const before = await systemd.property(MIRROR, 'MainPID');
    const [answered] = await Promise.all([ask(300), systemd.run('systemctl', 'restart', MIRROR)]);
    expect(answered).toBe(300);
    expect(await systemd.property(MIRROR, 'MainPID')).not.toBe(before);
  });

  test('a mirror that is killed is started again', async () => {
    await systemd.run('systemctl', 'start', MIRROR);
    const before = Number(await systemd.property(MIRROR, 'NRestarts'));
    await systemd.run('systemctl', 'kill', '--signal=KILL', MIRROR);
    expect(await ask(1)).toBe(1);
    expect(Number(await systemd.property(MIRROR, 'NRestarts'))).toBe(before + 1);
  });

  test('the unit becomes active once the mirror serves, and its status names the address', async () => {
    await systemd.run('systemctl', 'restart', MIRROR);
    expect(await systemd.property(MIRROR, 'StatusText')).toBe('serving at http://127.0.0.1:5080');
  });

  test('a reload leaves it running', async () => {
    const before = await systemd.property(MIRROR, 'MainPID');
    await systemd.run('systemctl', 'reload', MIRROR);
    expect(await ask(1)).toBe(1);
    expect(await systemd.property(MIRROR, 'MainPID')).toBe(before);
  });

  test('fault 46: a mirror whose event loop stands still is started again', async () => {
    const dropIn = '/run/systemd/system/metahub.service.d';
    const hasty = `mkdir -p ${dropIn} && printf '[Service]\\nWatchdogSec=1\\n' >${dropIn}/hasty.conf`;
    await systemd.run('sh', '-c', `${hasty} && systemctl daemon-reload && systemctl restart ${MIRROR}`);
    const before = Number(await systemd.property(MIRROR, 'NRestarts'));
    // Longer than the watchdog's patience, in microseconds: it is fed as long as the loop turns.
    const fedAt = async () => Number(await systemd.property(MIRROR, 'WatchdogTimestampMonotonic'));
    const first = await fedAt();
    await expect.poll(fedAt).toBeGreaterThan(first + 3e6);
    expect(await ask(1)).toBe(1);
    expect(Number(await systemd.property(MIRROR, 'NRestarts'))).toBe(before);
    await systemd.run('kill', '-STOP', await systemd.property(MIRROR, 'MainPID'));
    expect(await ask(1)).toBe(1);
    expect(Number(await systemd.property(MIRROR, 'NRestarts'))).toBe(before + 1);
  });

  test('a site as docs/site.md sets it up takes logins over TLS, with files that are not everyone’s', async () => {
    const put = (path: string, mode: string, text: string) =>
      systemd.run('sh', '-c', 'printf %s "$1" | install -D -m "$2" /dev/stdin "$3"', 'sh', text, mode, path);
    const document = readFileSync(new URL('../../docs/site.md', import.meta.url), 'utf8');
    for (const unit of ['metahub.socket', MIRROR]) {
      const path = `/etc/systemd/system/${unit}.d/site.conf`;
      const [, text = ''] = document.split(`\`${path}\`:\n\n\`\`\`ini\n`);
      await put(path, '644', text.slice(0, text.indexOf('```')));
    }
    const authority = await createAuthority();
    workplace.onClose(() => authority.remove());
    const { certFile, keyFile } = await authority.issue('localhost');
    await put('/etc/ssl/hub.crt', '644', readFileSync(certFile, 'utf8'));
    await put('/etc/ssl/hub.key', '600', readFileSync(keyFile, 'utf8'));
    await systemd.run('groupadd', '--system', 'metahub-site');
    await systemd.run('install', '-d', '-m', '2750', '-g', 'metahub-site', '/etc/metahub/machines.d');
    const hush = `echo hush | metahub machine add site --password-stdin`;
    await systemd.run('sh', '-c', hush);
    await systemd.run('systemctl', 'daemon-reload');
    await systemd.run('systemctl', 'restart', 'metahub.socket', MIRROR);

    await put('/root/ca.crt', '644', readFileSync(authority.certFile, 'utf8'));
    const request = [
      '--silent',
      '--cacert',
      '/root/ca.crt',
      '--output',
      '/dev/null',
      '--write-out',
      '%{http_code}',
    ];
    const statusOf = (...words: readonly string[]) =>
      systemd.run('curl', ...request, ...words, 'https://localhost/v2/');
    expect(await statusOf()).toBe('401');
    expect(await statusOf('--user', 'site:hush')).toBe('200');
  });

  test('stops successfully on request', async () => {
    await systemd.run('systemctl', 'start', MIRROR);
    await systemd.run('systemctl', 'stop', 'metahub.socket', MIRROR);
    expect(await systemd.property(MIRROR, 'Result')).toBe('success');
    expect(await systemd.property(MIRROR, 'ExecMainStatus')).toBe('0');
  });
});
