/**
 * Options of commands that ask a remote site. They are not in site-api.ts, so that describing a command does
 * not load that.
 */
export const SITE_OPTIONS: readonly (readonly [flags: string, help: string])[] = [
  ['--site <url>', 'the site to send the request to: hub.example.org, https://hub.example.org'],
  ['--user <account>', 'with --site: the account that sends the request (METAHUB_SITE_ACCOUNT)'],
  [
    '--password-file <file>',
    'with --site: the file with the password of that account; -: stdin; without it, metahub asks on the terminal',
  ],
];
