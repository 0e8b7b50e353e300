import { Writable } from 'node:stream';
import { expect, test } from 'vitest';
import { createLog, type LogFormat } from '../../src/cli/log.ts';
import type { LogLevel } from '../../src/lib/log.ts';

function record(format: LogFormat, level: LogLevel = 'info', journal = false) {
  let text = '';
  const stream = new Writable({
    write(chunk, _encoding, done) {
      text += chunk;
      done();
    },
  });
  const log = createLog({ stream, format, level, journal, now: () => new Date('2026-01-02T03:04:05Z') });
  return { log, text: () => text };
}

test('the JSON log writes one object a line, with the time, the level, the event and its sentence', () => {
  const { log, text } = record('json');
  log('info', 'pull', 'an image is pulled', {
    reference: 'docker.io/qnib/bench:latest',
    ms: 3,
    absent: undefined,
  });
  expect(JSON.parse(text())).toEqual({
    time: '2026-01-02T03:04:05.000Z',
    level: 'info',
    event: 'pull',
    message: 'an image is pulled',
    reference: 'docker.io/qnib/bench:latest',
    ms: 3,
  });
});

test('the text log writes the sentence, then its fields, quoted when needed', () => {
  const { log, text } = record('text');
  log('info', 'pull', 'an image is pulled', { reference: 'a:b', why: 'runs on this host' });
  expect(text()).toBe('03:04:05 an image is pulled reference=a:b why="runs on this host"\n');
});

test('journald reads the priority and keeps the time itself', () => {
  const { log, text } = record('text', 'info', true);
  log('warning', 'served-stale', 'stale');
  expect(text()).toBe('<4>stale\n');
});

test('the log writes an event on one line, whatever its values are', () => {
  const { log, text } = record('text');
  log('info', 'pull', 'an image is pulled', { agent: 'evil\r\n03:04:05 forged=line\u2028x' });
  expect(text().trimEnd()).not.toMatch(/[\r\n\u2028]/);
});

test.each(['json', 'text'] as const)(
  'the %s log cuts long values, so that a line stays readable',
  (format) => {
    const { log, text } = record(format);
    log('warning', 'request-failed', 'request failed', { reason: 'x'.repeat(4_000_000), ms: 3 });
    expect(text().length).toBeLessThan(3000);
    expect(text()).toContain('3');
  },
);

test('the log drops events that are less severe than its level', () => {
  const { log, text } = record('json', 'warning');
  log('info', 'pull', 'an image is pulled');
  log('error', 'broken', 'broken');
  expect(text().trim().split('\n')).toHaveLength(1);
});
