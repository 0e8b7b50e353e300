import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const CONTROL = readFileSync(fileURLToPath(new URL('../../packaging/deb/control', import.meta.url)), 'utf8');

/** What both Debian 11 and Ubuntu 20.04 have: glibc 2.31, and the libraries of GCC 10. */
const OLDEST: readonly (readonly [name: string, major: number, minor: number])[] = [
  ['libc6', 2, 31],
  ['libgcc-s1', 10, 0],
  ['libstdc++6', 10, 0],
];

test('the Debian package depends on nothing that Debian 11 and Ubuntu 20.04 lack', () => {
  const depends = /^Depends: (.*)$/m.exec(CONTROL)?.[1]?.split(', ') ?? [];
  const wanted = depends.map((text) => /^(\S+) \(>= (\d+)(?:\.(\d+))?\)$/.exec(text) ?? [text]);
  expect(wanted.map(([, name]) => name)).toEqual(OLDEST.map(([name]) => name));
  for (const [at, [name, major, minor]] of OLDEST.entries()) {
    const [text, , least, further = '0'] = wanted[at] ?? [];
    const isThere = Number(least) < major || (Number(least) === major && Number(further) <= minor);
    expect(isThere, `${text}, where ${name} is ${major}.${minor}`).toBe(true);
  }
});
