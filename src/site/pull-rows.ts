import * as v from 'valibot';
import { reading, type Schema } from '../lib/schema.ts';
import { parseRepositoryName, parseSourceHost, repositoryAt } from '../oci/reference.ts';
import { FIT_KINDS } from '../selection/assessment.ts';
import { ANSWER_VERDICTS, type PullRows, type RecordedAnswer, type SeenHost } from './pull-record.ts';

/** How replicas write the rows of their records, and which of two rows is the later one. */

const Name = v.pipe(v.string(), v.maxLength(512));
const Text = v.pipe(v.string(), v.maxLength(8192));
const Features = v.pipe(v.array(Name), v.maxLength(512));
const Time = v.pipe(v.number(), v.minValue(0));
const Count = v.pipe(v.number(), v.integer(), v.minValue(1));

const RepositoryRow = v.pipe(
  v.object({ host: Name, name: Name }),
  reading(
    (written) => {
      const [host, name] = [parseSourceHost(written.host), parseRepositoryName(written.name)];
      return host && name && repositoryAt(host, name);
    },
    () => 'no repository',
  ),
);

const AnswerRow: Schema<RecordedAnswer> = v.pipe(
  v.object({
    ...{ origin: Name, id: Count, account: Name, login: Name, features: Features },
    ...{ repository: RepositoryRow, image: Name, digest: Name },
    verdict: v.picklist(ANSWER_VERDICTS),
    entry: v.optional(Text),
    reason: Text,
    notes: v.pipe(v.array(Text), v.maxLength(64)),
    fit: v.optional(v.picklist(FIT_KINDS)),
    ...{ answers: Count, firstMs: Time, lastMs: Time },
  }),
  v.transform((row) => ({ ...row, entry: row.entry, fit: row.fit })),
);

const HostRow: Schema<SeenHost> = v.object({
  ...{ account: Name, login: Name, features: Features, address: Name },
  ...{ firstMs: Time, lastMs: Time },
});

export type PullKind = keyof PullRows;
export type RowOf<Kind extends PullKind> = PullRows[Kind][number];

/** What replicas do with the rows of one kind. */
interface RowKind<Row> {
  readonly schema: Schema<Row>;
  readonly keyOf: (row: Row) => string;
  /** Merges two rows with the same key. Merging one of them again changes nothing. */
  readonly merge: (one: Row, other: Row) => Row;
}

/** Returns the later state of an answer. The counts of a row never decrease. */
function laterAnswer(one: RecordedAnswer, other: RecordedAnswer): RecordedAnswer {
  return one.lastMs > other.lastMs || one.answers > other.answers ? one : other;
}

/** Merges what two replicas know of a machine, which may pull from any of them. */
export function mergeHosts(one: SeenHost, other: SeenHost): SeenHost {
  const [earlier, later] = one.lastMs < other.lastMs ? [one, other] : [other, one];
  return { ...later, firstMs: Math.min(earlier.firstMs, later.firstMs) };
}

export const ROW_KINDS: { readonly [Kind in PullKind]: RowKind<RowOf<Kind>> } = {
  answers: { schema: AnswerRow, keyOf: ({ origin, id }) => `${origin} ${id}`, merge: laterAnswer },
  images: {
    schema: AnswerRow,
    keyOf: ({ origin, login, image }) => `${origin} ${login} ${image}`,
    merge: laterAnswer,
  },
  hosts: { schema: HostRow, keyOf: ({ login, address }) => `${login} ${address}`, merge: mergeHosts },
};

/** Adds up the answers for one image and login that two replicas have counted. */
export function sumAnswers(one: RecordedAnswer, other: RecordedAnswer): RecordedAnswer {
  const isLater = one.lastMs > other.lastMs || (one.lastMs === other.lastMs && one.origin > other.origin);
  const [earlier, later] = isLater ? [other, one] : [one, other];
  return {
    ...later,
    answers: earlier.answers + later.answers,
    firstMs: Math.min(earlier.firstMs, later.firstMs),
  };
}
