import type { Log } from '../../lib/log.ts';
import type { ForeignDerived } from '../../mirror/tailored.ts';
import { formatReference } from '../../oci/reference.ts';
import type { Metrics } from '../../server/metrics.ts';

export interface ForeignLogOptions {
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Logs and counts requests for what was derived for another kind of host. */
export function createForeignLog({ log, metrics }: ForeignLogOptions): (foreign: ForeignDerived) => void {
  const total = metrics.counter(
    'metahub_foreign_derived_total',
    'Digests derived for another kind of host that were asked for, by what was done.',
    ['answer'],
    [['delivered'], ['refused']],
  );
  return ({ repository, digest, tag, upstreamDigest, platform, demands, runsHere, isDelivered, host }) => {
    total.child(isDelivered ? 'delivered' : 'refused').add();
    const message = `${isDelivered ? 'delivered' : 'refused'} a digest that was derived for another kind of host`;
    log(runsHere ? 'info' : 'warning', 'foreign-derived', message, {
      image: formatReference(repository, { kind: 'digest', digest }),
      derivedFrom: `:${tag}`,
      upstream: upstreamDigest,
      platform,
      demands,
      host,
      runsHere,
    });
  };
}
