import type { HostProfile } from '../../../host/profile.ts';
import { formatReference, type ImageReference, type Repository } from '../../../oci/reference.ts';
import { select } from '../../../selection/select.ts';
import type { BenchmarkResult } from '../../benchmark-results.ts';
import { hostProfile, namedHost } from '../../host-profile.ts';
import type { ResolvedSettings } from '../../settings/setting.ts';
import type { LOOKUP_SETTINGS } from '../../settings/table.ts';
import { UserError } from '../../user-error.ts';
import { readSubject } from '../explain/load.ts';
import {
  type BenchCase,
  type Contender,
  caseText,
  contendersOf,
  type EntryChoice,
  genericOf,
  type Metric,
  orderOf,
  sampleOf,
  speedFactor,
  statisticsOf,
} from './plan.ts';
import {
  type BenchRuntime,
  type BenchRuntimeName,
  type ContainerOptions,
  openRuntime,
  RunFailure,
} from './runtime.ts';

/** What to measure, and how. */
export interface BenchPlan {
  readonly runtime: BenchRuntimeName | undefined;
  readonly choice: EntryChoice;
  readonly cases: readonly BenchCase[];
  readonly metric: Metric;
  readonly rounds: number;
  readonly warmUps: number;
  readonly options: ContainerOptions;
}

/** An image, and those of its entries that this host can run. */
interface BenchSubject {
  readonly name: string;
  readonly repository: Repository;
  readonly profile: HostProfile;
  readonly contenders: (choice: EntryChoice) => readonly Contender[];
}

/** An entry whose run failed. Later rounds leave it out. */
export interface BenchFailure {
  readonly contender: Contender;
  readonly permutation: string;
  readonly why: string;
}

export interface BenchReport {
  readonly name: string;
  readonly profile: HostProfile;
  readonly plan: BenchPlan;
  readonly runtime: BenchRuntime['name'];
  readonly contenders: readonly Contender[];
  readonly results: readonly BenchmarkResult[];
  readonly failures: readonly BenchFailure[];
}

/** Fetches the image's index and selects for this host. @throws {UserError} */
export async function selectionOf(
  { repository, reference }: ImageReference,
  settings: ResolvedSettings<typeof LOOKUP_SETTINGS>,
): Promise<BenchSubject> {
  const name = formatReference(repository, reference);
  const profile = await hostProfile(namedHost(settings));
  const { source, policy, extra } = await readSubject(name, {}, settings, [profile.platform]);
  const { document } = source;
  if (document.kind !== 'index') {
    throw new UserError(`${name} is one image, not an index: there is nothing to compare`, {
      nextStep: 'Name an image with several entries; metahub inspect shows what an image has.',
    });
  }
  const selection = select(document, profile, policy, extra);
  return { name, repository, profile, contenders: (choice) => contendersOf(selection, choice) };
}

interface Lane {
  readonly contender: Contender;
  readonly one: BenchCase;
  readonly samples: number[];
  failure: string | undefined;
}

/**
 * Pulls each entry, then runs all of them in turn, round after round.
 * @throws {UserError} when no entry can be run; also the abort reason of the signal
 */
export async function measure(
  { name, repository, profile, contenders: choose }: BenchSubject,
  plan: BenchPlan,
  signal: AbortSignal,
): Promise<BenchReport> {
  const runtime = openRuntime(plan.runtime, plan.options);
  const contenders = choose(plan.choice);
  if (contenders.length === 0) {
    throw new UserError(`${name} has none of these entries, or this host cannot run them`, {
      nextStep: `metahub explain ${name} shows the entries, and which of them this host can run.`,
    });
  }
  const imageOf = ({ digest }: Contender) => formatReference(repository, { kind: 'digest', digest });
  for (const contender of contenders) await runtime.pull(imageOf(contender), signal);
  const lanes = plan.cases.flatMap((one) =>
    contenders.map((contender): Lane => ({ contender, one, samples: [], failure: undefined })),
  );
  const show = progress(plan.rounds + plan.warmUps);
  for (let round = 0; round < plan.rounds + plan.warmUps; round += 1) {
    show(round);
    for (const lane of orderOf(lanes, round)) {
      if (lane.failure !== undefined) continue;
      await runOnce(lane, runtime, imageOf(lane.contender), plan, round >= plan.warmUps, signal);
    }
  }
  show(undefined);
  const failures = lanes.flatMap(({ contender, one, failure: why }) =>
    why === undefined ? [] : [{ contender, permutation: caseText(one), why }],
  );
  const results = resultsOf(lanes, { name, profile, plan });
  return { name, profile, plan, runtime: runtime.name, contenders, results, failures };
}

async function runOnce(
  lane: Lane,
  runtime: BenchRuntime,
  image: string,
  { metric, options }: BenchPlan,
  isCounted: boolean,
  signal: AbortSignal,
): Promise<void> {
  try {
    const sample = sampleOf(await runtime.run(image, lane.one, options, signal), metric);
    if (sample.kind === 'unusable') lane.failure = sample.why;
    else if (isCounted) lane.samples.push(sample.value);
  } catch (error) {
    if (!(error instanceof RunFailure)) throw error;
    lane.failure = error.message;
  }
}

function resultsOf(
  lanes: readonly Lane[],
  { name, profile, plan }: { readonly name: string; readonly profile: HostProfile; readonly plan: BenchPlan },
): readonly BenchmarkResult[] {
  const { metric, rounds } = plan;
  const measuredAt = new Date().toISOString();
  const whole = lanes.filter(({ failure }) => failure === undefined);
  return whole.map(({ contender, one, samples }) => {
    const { median, min, max } = statisticsOf(samples);
    const rivals = whole.filter((lane) => lane.one === one).map((lane) => ({ ...lane, ...lane.contender }));
    const generic = genericOf(rivals);
    const factor = speedFactor(median, generic && statisticsOf(generic.samples).median, metric.better);
    return {
      image: name,
      entry: contender.digest,
      demands: contender.demands,
      permutation: caseText(one),
      metric: metric.pattern?.source ?? 'seconds',
      better: metric.better,
      median,
      min,
      max,
      rounds,
      timesGeneric: factor ?? null,
      cpu: profile.cpu.microarchitecture,
      measuredAt,
    };
  });
}

/** Returns a function that shows the current round on a terminal. Elsewhere it does nothing. */
function progress(rounds: number): (round: number | undefined) => void {
  if (!process.stderr.isTTY) return () => {};
  return (round) => {
    process.stderr.write(round === undefined ? '\r\x1b[2K' : `\r\x1b[2Kround ${round + 1} of ${rounds}`);
  };
}
