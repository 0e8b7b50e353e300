/** Does this name or address (no brackets) lead to this machine alone, so that nothing sent there crosses a network? */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host);
}
