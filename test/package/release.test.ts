import { describe, expect, test } from 'vitest';
import { isLater, releasedChangelog } from '../../scripts/release.ts';

const CHANGELOG = `# Changelog

## [Unreleased]

### Added

- Something.

## [0.1.0] - 2026-01-01

- The first.
`;

describe('the changelog of a release', () => {
  test('gives the Unreleased section the version and the date, and starts a new section', () => {
    expect(releasedChangelog(CHANGELOG, '0.2.0', '2026-12-01')).toBe(
      CHANGELOG.replace('## [Unreleased]\n', '## [Unreleased]\n\n## [0.2.0] - 2026-12-01\n'),
    );
  });

  test('is refused when nothing is unreleased', () => {
    const released = releasedChangelog(CHANGELOG, '0.2.0', '2026-12-01');
    expect(() => releasedChangelog(released, '0.3.0', '2026-12-02')).toThrow('nothing under “Unreleased”');
  });

  test('is refused for a version that exists already', () => {
    expect(() => releasedChangelog(CHANGELOG, '0.1.0', '2026-12-01')).toThrow('has 0.1.0 already');
  });
});

test.each([
  ['0.2.0', '0.1.9', true],
  ['0.10.0', '0.9.0', true],
  ['1.0.0', '1.0.0-rc.1', true],
  ['1.0.0-rc.2', '1.0.0-rc.1', true],
  ['1.0.0-rc.1', '1.0.0', false],
  ['0.1.0', '0.1.0', false],
  ['0.1.0', '0.2.0', false],
  ['next', '0.1.0', false],
])('is %s later than %s: %s', (next, last, expected) => {
  expect(isLater(next, last)).toBe(expected);
});
