/** The options by which a command asks a remote site (see site-api.ts), apart from it: naming them loads nothing. */
export const SITE_OPTIONS: readonly (readonly [flags: string, help: string])[] = [
  ['--site <url>', 'the site to send the request to: hub.example.org, https://hub.example.org'],
  ['--user <account>', 'with --site: the account that sends the request (METAHUB_SITE_ACCOUNT)'],
  [
    '--password-file <file>',
    'with --site: the file with the password of that account; -: stdin; without it, metahub asks on the terminal',
  ],
];
