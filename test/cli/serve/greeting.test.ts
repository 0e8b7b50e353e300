import { expect, test } from 'vitest';
import { siteGreeting } from '../../../src/cli/serve/run.ts';

test.each([
  ['http://127.0.0.1:5080', 'docker login 127.0.0.1:5080', 'metahub login http://127.0.0.1:5080 '],
  ['https://hub.example.org', 'docker login hub.example.org', 'metahub login https://hub.example.org '],
  ['https://0.0.0.0:5443', 'docker login node7:5443', 'metahub login https://node7:5443 '],
  ['https://[::]:5443', 'docker login node7:5443', 'metahub login https://node7:5443 '],
])('a site at %s tells clients a name that they can reach', (url, docker, metahub) => {
  const text = siteGreeting(url, 2, 'node7');
  expect(text).toContain(`machine types of 2 accounts on ${url}\n`);
  expect(text).toContain(`${docker}\n`);
  expect(text).toContain(metahub);
});
