import { expect, test } from 'vitest';
import { greeting, siteGreeting } from '../../../src/cli/serve/run.ts';
import { hostOf } from '../../support/host-of.ts';

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

test.each([
  ['http://127.0.0.1:5080', 'metahub setup all --reload\n', 'http://127.0.0.1:5080'],
  [
    'http://127.0.0.1:5081',
    'metahub setup all --reload --mirror http://127.0.0.1:5081\n',
    'http://127.0.0.1:5081',
  ],
  ['http://0.0.0.0:5080', 'metahub setup all --reload\n', 'http://127.0.0.1:5080'],
  [
    'http://[::]:5081',
    'metahub setup all --reload --mirror http://127.0.0.1:5081\n',
    'http://127.0.0.1:5081',
  ],
])('a node’s mirror at %s tells how to point the runtimes at it', (url, setup, reached) => {
  const text = greeting(hostOf('cpu:zen4'), url, ['docker.io']);
  expect(text).toContain(`on ${url}\n`);
  expect(text).toContain(setup);
  expect(text).toContain(`{"registry-mirrors":["${reached}"]}`);
});
