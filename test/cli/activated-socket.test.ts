import { describe, expect, test } from 'vitest';
import { activatedSocket } from '../../src/cli/activated-socket.ts';
import { UserError } from '../../src/cli/user-error.ts';

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
