import { describe, expect, test } from 'vitest';
import { activatedSocket, warnOfOtherAddress } from '../../../src/cli/serve/systemd.ts';
import { resolveSettings } from '../../../src/cli/settings/setting.ts';
import { SERVE_SETTINGS } from '../../../src/cli/settings/table.ts';
import { UserError } from '../../../src/cli/user-error.ts';

describe('the socket that systemd hands over', () => {
  test('is the third descriptor', () => {
    expect(activatedSocket({ LISTEN_PID: '42', LISTEN_FDS: '1' }, 42)).toEqual({ fd: 3 });
  });

  test.each([
    ['nothing is handed over', {}],
    ['the variables were inherited and are another process’s', { LISTEN_PID: '41', LISTEN_FDS: '1' }],
    ['there are no sockets', { LISTEN_PID: '42', LISTEN_FDS: '0' }],
    ['the number cannot be read', { LISTEN_PID: '42', LISTEN_FDS: 'one' }],
  ])('is none when %s', (_, environment) => {
    expect(activatedSocket(environment, 42)).toBeUndefined();
  });

  test('is refused when there are several', () => {
    expect(() => activatedSocket({ LISTEN_PID: '42', LISTEN_FDS: '2' }, 42)).toThrow(UserError);
  });
});

test.each<[flags: Record<string, string>, times: number]>([
  [{}, 0],
  [{ listen: '127.0.0.1:5080' }, 0],
  [{ listen: '127.0.0.1:443' }, 1],
  [{ listen: '0.0.0.0:5080' }, 1],
])('systemd’s socket on port 5080 with the settings %j causes %d warnings', (flags, times) => {
  const sources = { flags, environment: {}, file: {}, filePath: undefined };
  const warnings: unknown[] = [];
  const log = (level: string, event: string, _message: string, fields?: object) =>
    warnings.push([level, event, fields]);
  const settings = resolveSettings(SERVE_SETTINGS, sources);
  warnOfOtherAddress(settings, { address: '127.0.0.1', port: 5080 }, log);
  expect(warnings).toEqual(
    Array(times).fill([
      'warning',
      'socket-address-differs',
      { socket: '127.0.0.1:5080', setting: flags['listen'] },
    ]),
  );
});
