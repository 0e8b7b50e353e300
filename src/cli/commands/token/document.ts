import * as v from 'valibot';
import { ACCESS_TOKEN, MADE_TOKEN } from '../../../site/api/resources.ts';

const { account: user, ...token } = ACCESS_TOKEN.entries;

/** The output of `metahub token list --json`. */
export const TOKEN_LIST = v.array(v.object({ user, ...token }));

/** The output of `metahub token create --json`. */
export const CREATED_TOKEN = v.object({
  user,
  name: token.name,
  token: MADE_TOKEN.entries.token,
  expires: token.expires,
});
