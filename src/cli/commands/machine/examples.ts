import { helpText } from '../../help-text.ts';

/** The examples in the help of `metahub machine` and of each subcommand. */
export const EXAMPLES = {
  group: helpText(
    [
      ['metahub machine add qnib', 'add an account; metahub asks for its password'],
      [
        'metahub machine add qnib type1 --feature cpu:broadwell',
        'add a machine type; it logs in as qnib-type1 with the password of qnib',
      ],
      ['metahub machine list', 'list the accounts and machine types'],
      ['metahub machine edit qnib type1 --feature cpu:skylake'],
      ['metahub machine remove qnib type1'],
      ['metahub machine list --site hub.example.org --user root', 'the same for a remote site'],
    ],
    'A running mirror applies a change within a second.',
  ),
  add: helpText([
    ['metahub machine add qnib', 'add an account; metahub asks for its password'],
    [
      'metahub machine add qnib type1 --feature cpu:broadwell',
      'add a machine type; it logs in as qnib-type1 with the password of qnib',
    ],
    [
      'metahub machine add qnib gpu --feature cpu:zen4 --feature nvcap:9.0 --login gpu-nodes --own-password',
      'add a machine type with a login and a password of its own',
    ],
    ['metahub machine add ci --role publisher --push "team/*"', 'add an account that may push'],
    ['metahub machine add anna --group lab', 'add an account with the rights of the group lab'],
    ['pass show hub | metahub machine add qnib --password-stdin'],
  ]),
  edit: helpText([
    ['metahub machine edit qnib type1 --feature cpu:skylake', 'replace all features of the machine type'],
    ['metahub machine edit anna --group lab --group web', 'replace all groups of the account'],
    ['metahub machine edit qnib type1 --login nodes --site hub.example.org --user root'],
  ]),
  enrol: helpText(
    [
      [
        'metahub machine enrol qnib gpu --name node17',
        'print a token for one machine of this type, valid for an hour',
      ],
      ['metahub machine enrol qnib gpu --site hub.example.org --user root', 'the same for a remote site'],
      ['metahub login hub.example.org --enrol metahub_enrol_…', 'use the token on that machine, once'],
      [
        'metahub token revoke qnib node17',
        'revoke the machine’s login, or the token if no machine has used it yet',
      ],
    ],
    'The machine gets its own login and its own token. No password leaves the site.',
  ),
  list: helpText([['metahub machine list'], ['metahub machine list --json']]),
  remove: helpText([
    ['metahub machine remove qnib type1', 'remove one machine type'],
    ['metahub machine remove qnib', 'remove the account and all its machine types'],
  ]),
  passwd: helpText([
    [
      'metahub machine passwd qnib',
      'change the password of the account and of its machine types that have none of their own',
    ],
    ['metahub machine passwd qnib gpu', 'change the machine type’s own password'],
    ['pass show hub | metahub machine passwd qnib --password-stdin'],
  ]),
} as const;
