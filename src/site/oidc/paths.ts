/** Paths of logins at an OpenID provider. */
export const LOGIN_PATHS = {
  begin: '/login',
  callback: '/login/callback',
  provider: '/login/provider',
  token: '/login/token',
  end: '/logout',
} as const;
