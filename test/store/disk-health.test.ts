import { expect, test } from 'vitest';
import { createDiskHealth } from '../../src/store/disk-health.ts';

const failure = (code: string) => Object.assign(new Error(code), { code });

function healthWithLog() {
  const events: string[] = [];
  return { events, health: createDiskHealth('/data', (_level, event) => events.push(event)) };
}

test.each([
  ['ENOSPC', 'the disk is full', 1000],
  ['EDQUOT', 'the disk quota is used up', 1000],
  ['EROFS', 'the disk is read-only', 0],
  ['EIO', 'the disk fails', 0],
])(
  'after a write of 1000 bytes fails with %s (%s), a write of %d bytes ends it',
  (code, why, neededBytes) => {
    const { health, events } = healthWithLog();
    health.report(failure(code), 1000);
    if (neededBytes > 0) health.over(neededBytes - 1);
    expect(health.trouble()).toBe(why);
    health.over(neededBytes);
    expect(health.trouble()).toBeUndefined();
    health.over(neededBytes);
    expect(events).toEqual(['cache-unwritable', 'cache-writable']);
  },
);

test('reports another failure, and the same one once', () => {
  const { health, events } = healthWithLog();
  for (const code of ['ENOSPC', 'ENOSPC', 'EIO', 'EIO']) health.report(failure(code), 1000);
  expect(health.trouble()).toBe('the disk fails');
  // What the full disk needed counts no more.
  health.over(1);
  expect(events).toEqual(['cache-unwritable', 'cache-unwritable', 'cache-writable']);
});
