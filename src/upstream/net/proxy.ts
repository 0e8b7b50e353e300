import { isIP } from 'node:net';
import { hostOf, isInSubnet, isLoopback, portOf } from '../../lib/address.ts';
import { basicAuthorization } from '../auth/credentials.ts';

/** Proxies for outgoing connections, by the usual environment variables. */
export interface ProxySettings {
  readonly http?: string | undefined;
  readonly https?: string | undefined;
  /**
   * Comma-separated: hosts, domains with or without a leading dot, `HOST:PORT`, address ranges (`10.0.0.0/8`),
   * or `*`.
   */
  readonly noProxy?: string | undefined;
}

/** Reads `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`. As in curl, the lower-case spelling takes precedence. */
export function proxyFromEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
): ProxySettings {
  const read = (name: string) => environment[name.toLowerCase()] || environment[name] || undefined;
  return { http: read('HTTP_PROXY'), https: read('HTTPS_PROXY'), noProxy: read('NO_PROXY') };
}

function matchesNoProxy(noProxy: string, host: string, port: string): boolean {
  return noProxy
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((rule) => rule !== '')
    .some((rule) => {
      if (rule === '*' || (rule.includes('/') && isInSubnet(rule, host))) return true;
      const [, domain = rule, rulePort] = /^(.+?)(?::(\d+))?$/.exec(rule.replace(/^\*?\./, '')) ?? [];
      if (rulePort !== undefined && rulePort !== port && isIP(rule) === 0) return false;
      const wanted = isIP(rule) === 0 ? domain.replace(/^\[|\]$/g, '') : rule;
      return host === wanted || (isIP(host) === 0 && host.endsWith(`.${wanted}`));
    });
}

/**
 * The proxy for `target`; undefined: connect directly.
 * @throws {TypeError} when the configured proxy is not an http(s) URL.
 */
export function proxyFor(target: URL, settings: ProxySettings): URL | undefined {
  const proxy = target.protocol === 'https:' ? settings.https : settings.http;
  if (proxy === undefined) return undefined;
  const host = hostOf(target);
  const port = String(portOf(target));
  // Loopback is never reached through a proxy, whatever is configured.
  if (isLoopback(host) || matchesNoProxy(settings.noProxy ?? '', host, port)) return undefined;
  const text = proxy.includes('://') ? proxy : `http://${proxy}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new TypeError('the proxy of the environment is not of the form http://HOST:PORT');
  }
  return url;
}

/** Decodes the user name or password of a URL. A `%` without two hexadecimal digits stays as it is. */
function decodeLogin(text: string): string {
  return text.replaceAll(/(?:%[0-9a-f]{2})+/gi, (coded) =>
    Buffer.from(coded.replaceAll('%', ''), 'hex').toString('utf8'),
  );
}

/** The header with the login in a proxy's URL; empty when the URL has none. */
export function proxyAuthorization({ username, password }: URL): Readonly<Record<string, string>> {
  if (username === '') return {};
  const login = basicAuthorization(decodeLogin(username), decodeLogin(password));
  return { 'proxy-authorization': login };
}
