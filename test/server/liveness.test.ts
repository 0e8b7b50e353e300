import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createNotifier } from '../../src/cli/serve/systemd.ts';
import { temporaryFolder } from '../support/folder.ts';
import { ask, type LogLine, serve } from '../support/served.ts';

function blockFor(ms: number): void {
  const untilMs = performance.now() + ms;
  while (performance.now() < untilMs);
}

describe('fault 46: the event loop is blocked', () => {
  test('is detected, counted and logged', async () => {
    const { port, log, server } = await serve();
    await ask(port, '/v2/');
    blockFor(1500);
    await expect.poll(() => log.find(({ event }) => event === 'event-loop-blocked')).toBeDefined();
    expect(server.metrics.text()).toMatch(/metahub_event_loop_blocked_seconds_total [1-9]/);
    expect((await ask(port, '/v2/')).status).toBe(200);
  });
});

/** A `systemd-notify` that writes down what it was called with. */
function standIn({ exitStatus = 0 } = {}) {
  const directory = temporaryFolder();
  const told = join(directory, 'told');
  const program = join(directory, 'systemd-notify');
  writeFileSync(program, `#!/bin/sh\necho "$*" >>'${told}'\nexit ${exitStatus}\n`);
  chmodSync(program, 0o755);
  const log: LogLine[] = [];
  const start = (environment: Record<string, string>) =>
    createNotifier({
      environment: { PATH: `${directory}:/usr/bin:/bin`, ...environment },
      pid: 4711,
      log: (level, event, _message, fields = {}) => log.push({ level, event, fields }),
    });
  const lines = () => (existsSync(told) ? readFileSync(told, 'utf8').trim().split('\n') : []);
  return { start, lines, log };
}

describe('the systemd service manager', () => {
  test('is notified of readiness and stopping', async () => {
    const { start, lines } = standIn();
    const notifier = start({ NOTIFY_SOCKET: '/run/notify' });
    await notifier.ready('http://127.0.0.1:5080');
    await notifier.stopping();
    expect(lines()).toEqual(['--ready --status=http://127.0.0.1:5080', 'STOPPING=1']);
  });

  test('gets watchdog notifications in half its timeout, until the server stops', async () => {
    const { start, lines } = standIn();
    const notifier = start({ NOTIFY_SOCKET: '/run/notify', WATCHDOG_USEC: '100000', WATCHDOG_PID: '4711' });
    await notifier.ready('ready');
    await expect.poll(() => lines().filter((line) => line === 'WATCHDOG=1').length).toBeGreaterThan(2);
    await notifier.stopping();
    await expect.poll(() => lines().at(-1)).toBeDefined();
    expect(lines()).toContain('STOPPING=1');
  });

  test('gets no notification while the event loop is blocked', async () => {
    const { start, lines } = standIn();
    const notifier = start({ NOTIFY_SOCKET: '/run/notify', WATCHDOG_USEC: '100000' });
    await notifier.ready('ready');
    await expect.poll(() => lines().length).toBeGreaterThan(2);
    // What was under way ends while the loop stands still: at most one more.
    const before = lines().length;
    blockFor(500);
    expect(lines().length).toBeLessThanOrEqual(before + 1);
    await notifier.stopping();
  });

  test.each([
    ['does not listen', {}],
    ['watches another process', { NOTIFY_SOCKET: '/run/notify', WATCHDOG_USEC: '1000', WATCHDOG_PID: '1' }],
  ])('is not notified when it %s', async (_, environment) => {
    const { start, lines } = standIn();
    const notifier = start(environment);
    await notifier.ready('ready');
    // As long as another one takes to hear several signs of life.
    const other = standIn();
    const listening = other.start({ NOTIFY_SOCKET: '/run/notify', WATCHDOG_USEC: '1000' });
    await listening.ready('ready');
    await expect.poll(() => other.lines().length).toBeGreaterThan(5);
    await listening.stopping();
    expect(lines().filter((line) => line === 'WATCHDOG=1')).toEqual([]);
    expect(lines()).toHaveLength('NOTIFY_SOCKET' in environment ? 1 : 0);
  });

  test('that cannot be notified causes no failure', async () => {
    const { start, log } = standIn({ exitStatus: 1 });
    await start({ NOTIFY_SOCKET: '/run/notify' }).ready('ready');
    expect(log).toMatchObject([{ level: 'warning', event: 'service-manager-unreachable' }]);
  });
});
