import { expect, test } from 'vitest';
import { API_OPERATIONS } from '../../../src/site/api/operations.ts';
import { createApiRouter } from '../../../src/site/api/routes.ts';

const find = createApiRouter(API_OPERATIONS);

test('the router of the API decodes the names of a path', () => {
  expect(find('GET', '/accounts/a%20b/types/c%2Ed').params).toEqual({ user: 'a b', name: 'c.d' });
});

test.each(['/groups/..%2Froot', '/groups/%2f', '/accounts/a%2Fb', '/accounts/a/types/b%2Fc', '/groups/'])(
  'the router of the API finds nothing at %s, whose name would be empty or a path',
  (path) => {
    expect(() => find('GET', path)).toThrow(expect.objectContaining({ code: 'no-resource' }));
  },
);
