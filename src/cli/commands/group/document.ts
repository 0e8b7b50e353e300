import * as v from 'valibot';
import { GROUP } from '../../../site/api/resources.ts';

/** The output of `metahub group list --json`. */
export const GROUP_LIST = v.array(GROUP);
