import { effectiveCpu } from '../../../host/effective-flags.ts';
import { formatReason, whyNot } from '../../../host/why-not.ts';
import type { DetectedHost } from '../../detect-host.ts';
import { UserError } from '../../user-error.ts';

export interface WhyNotOptions {
  readonly strictArchspec: boolean;
  readonly json: boolean;
}

/**
 * What the host lacks to run code of a microarchitecture, or that it runs it.
 * @throws {UserError} status 2 for a name that no microarchitecture has.
 */
export function renderWhyNot(written: string, host: DetectedHost, options: WhyNotOptions): string {
  const { facts, profile } = host;
  const { strictArchspec } = options;
  const cpu = strictArchspec ? facts.cpu : effectiveCpu(facts);
  const answer = whyNot(cpu, facts.architecture, written, { strictArchspec });
  const [unknown] = answer.reasons;
  if (unknown?.kind === 'unknown') {
    const { suggestions } = unknown;
    throw new UserError(`there is no microarchitecture “${written}”`, {
      nextStep:
        suggestions.length === 0
          ? 'Names are archspec’s, such as zen4 or neoverse_v2; metahub detect compatible lists this host’s.'
          : `Did you mean ${suggestions.join(', ')}?`,
      exitStatus: 2,
    });
  }
  if (options.json) return `${JSON.stringify(answer, undefined, 2)}\n`;
  const { microarchitecture } = profile.cpu;
  if (answer.runs) return `This host (${microarchitecture}) runs code built for ${answer.name}.\n`;
  const reasons = answer.reasons.map((reason) => `  ${formatReason(reason)}\n`).join('');
  return `This host (${microarchitecture}) does not run code built for ${answer.name}:\n${reasons}`;
}
