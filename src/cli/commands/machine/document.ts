import * as v from 'valibot';
import { ACCOUNT_ROLES } from '../../../site/account.ts';
import { ACCOUNT, MACHINE_TYPE, MADE_ENROLMENT } from '../../../site/api/resources.ts';
import { described } from '../../document-schema.ts';

const { role: _, ...account } = ACCOUNT.entries;

/** The output of `metahub machine list --json`. */
export const ACCOUNT_LIST = v.array(
  v.object({
    ...account,
    role: described(v.picklist(ACCOUNT_ROLES), 'what it may do at the management API'),
    types: described(v.array(MACHINE_TYPE), 'its machine types'),
    file: v.optional(described(v.string(), 'its file; absent of a remote site')),
  }),
);

/** The output of `metahub machine enrol --json`. */
export const CREATED_ENROLMENT = v.object({
  user: MADE_ENROLMENT.entries.account,
  type: MADE_ENROLMENT.entries.type,
  name: MADE_ENROLMENT.entries.name,
  token: MADE_ENROLMENT.entries.token,
  expires: MADE_ENROLMENT.entries.expires,
});
