import { installedPrograms, type Programs, type ServerOptions, startServer } from './processes.ts';
import type { Workplace } from './workplace.ts';

/** The requirements of `openNetworkNamespace`. */
export const NETWORK_NAMESPACE = ['root', 'unshare', 'nsenter', 'ip'];

/** A separate network with only loopback: every port is free, and nothing outside can be reached. */
export interface NetworkNamespace {
  /** Runs programs in the namespace. */
  readonly programs: Programs;
}

/** @param addresses further addresses of its loopback interface, such as `169.254.169.254/32` */
export async function openNetworkNamespace(
  workplace: Workplace,
  addresses: readonly string[] = [],
): Promise<NetworkNamespace> {
  const add = addresses.map((address) => `ip address add ${address} dev lo && `).join('');
  const holder = await startServer({
    command: 'unshare',
    args: ['--net', 'sh', '-c', `ip link set lo up && ${add}echo up && exec sleep infinity`],
    ready: /^up$/m,
  });
  workplace.onClose(() => holder.stop());
  const enter = (command: string, args: readonly string[]) =>
    ['nsenter', [`--net=/proc/${holder.pid}/ns/net`, '--', command, ...args]] as const;
  return {
    programs: {
      attempt: (command, args, options) => installedPrograms.attempt(...enter(command, args), options),
      run: (command, args, options) => installedPrograms.run(...enter(command, args), options),
      startServer(options: ServerOptions) {
        const [command, args] = enter(options.command, options.args);
        return startServer({ ...options, command, args });
      },
    },
  };
}
