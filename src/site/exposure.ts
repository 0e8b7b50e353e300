import { isLoopback } from '../lib/address.ts';

/** Where a site listens, and what the operator accepts there. */
export interface SiteExposure {
  readonly host: string;
  readonly tls: boolean;
  /** The operator accepts passwords in clear text: `insecureLogins`. */
  readonly insecureLogins: boolean;
  /** The demonstration's accounts are served, whose passwords are public. */
  readonly demo: boolean;
  /** The operator accepts these accounts on a network: `demoListenAnywhere`. */
  readonly demoListenAnywhere: boolean;
}

/** Why a site may not listen there, and what the operator can do about it. */
export interface ExposureProblem {
  readonly why: string;
  readonly nextStep: string;
}

/** What is wrong with logins at this address; undefined when nothing is. */
export function exposureProblem(exposure: SiteExposure): ExposureProblem | undefined {
  const { host, tls, insecureLogins, demo, demoListenAnywhere } = exposure;
  if (isLoopback(host)) return undefined;
  if (!tls && !insecureLogins) {
    return {
      why: `logins over plain HTTP on ${host}: their passwords could be read on the way`,
      nextStep:
        'Give a certificate and key, or listen on 127.0.0.1 behind a proxy that has them, or say --insecure-logins on.',
    };
  }
  // A certificate does not help: the passwords are public.
  if (demo && !demoListenAnywhere) {
    return {
      why: `the demonstration’s accounts on ${host}: their passwords are public`,
      nextStep:
        'Listen on 127.0.0.1, serve accounts of your own with --machines DIR, or accept it with --demo-listen-anywhere on.',
    };
  }
  return undefined;
}
