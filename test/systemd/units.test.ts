import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { attempt } from '../support/processes.ts';
import { describeWith } from '../support/required-programs.ts';
import { openWorkplace, type Workplace } from '../support/workplace.ts';

const UNITS = fileURLToPath(new URL('../../systemd', import.meta.url));
const SERVICES = ['metahub.service', 'metahub-detect.service'];

describeWith(['systemd-analyze'], 'the systemd units', () => {
  let workplace: Workplace;
  const unit = (name: string) => join(workplace.directory, name);

  beforeAll(() => {
    workplace = openWorkplace();
    copyFileSync(join(UNITS, 'metahub.socket'), unit('metahub.socket'));
    for (const name of SERVICES) {
      // systemd looks the program up; here it need not be installed.
      const text = readFileSync(join(UNITS, name), 'utf8');
      writeFileSync(unit(name), text.replace(/^ExecStart=metahub /m, `ExecStart=${process.execPath} `));
    }
  });
  afterAll(() => workplace?.close());

  test('hold nothing that systemd would complain of', async () => {
    const verified = await attempt('systemd-analyze', [
      'verify',
      '--man=no',
      ...[...SERVICES, 'metahub.socket'].map(unit),
    ]);
    expect(verified).toEqual({ status: 0, stdout: '', stderr: '' });
  });

  test('verification is not blind: it sees a misspelt setting', async () => {
    const broken = unit('broken.service');
    writeFileSync(broken, `${readFileSync(unit('metahub.service'), 'utf8')}\n[Service]\nPrivateTmpp=yes\n`);
    const { stderr } = await attempt('systemd-analyze', ['verify', '--man=no', broken]);
    expect(stderr).toContain("Unknown key 'PrivateTmpp'");
  });

  test.each(SERVICES)('%s exposes at most 1.5 of 10', async (name) => {
    const { status, stdout } = await attempt('systemd-analyze', [
      ...['security', '--offline=true', '--no-pager', '--threshold=15', unit(name)],
    ]);
    expect(stdout).toMatch(/Overall exposure level for .*: [01]\.\d OK/);
    expect(status).toBe(0);
  });

  test('does not forbid writable and executable memory, which Node.js needs', () => {
    for (const name of SERVICES)
      expect(readFileSync(unit(name), 'utf8')).not.toMatch(/^MemoryDenyWriteExecute/m);
  });
});
