import { jsonText, printable } from '../../../lib/text.ts';
import { minimumRequirements } from '../../../selection/minimum-requirements.ts';
import { UserError } from '../../user-error.ts';
import type { ExplainSubject } from './load.ts';

/**
 * The least hardware that runs the image, for each platform.
 * @throws {UserError} when the image is no index, so that nothing says what it needs.
 */
export function renderLeast({ name, source, policy }: ExplainSubject, json: boolean): string {
  const { document } = source;
  if (document.kind !== 'index') {
    throw new UserError(`${name} is no index, so nothing in it says what hardware it needs`, {
      nextStep: 'Only an image index has entries with demands.',
    });
  }
  const least = minimumRequirements(document, policy);
  if (json) return `${jsonText({ image: name, digest: source.digest, least }, 2)}\n`;
  if (least.length === 0) return 'no host can run any entry of it\n';
  const width = Math.max(...least.map(({ platform }) => printable(platform).length));
  return least
    .map(({ platform, features, positions }) => {
      const what = features.length === 0 ? 'any host' : features.join(' and ');
      const which = positions.map((position) => position + 1).join(', ');
      const noun = positions.length === 1 ? 'entry' : 'entries';
      return `${printable(platform).padEnd(width)}  ${printable(what)}  (${noun} ${which})\n`;
    })
    .join('');
}
