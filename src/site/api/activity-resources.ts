import * as v from 'valibot';
import { FIT_KINDS } from '../../selection/assessment.ts';
import { ANSWER_VERDICTS, type RecordedAnswer } from '../pull-record.ts';

const Time = v.pipe(v.string(), v.isoTimestamp());
const Texts = v.array(v.string());
const Count = v.pipe(v.number(), v.integer(), v.minValue(0));

/** Answers to one tag for one login. */
export const ANSWER = v.object({
  account: v.string(),
  login: v.pipe(v.string(), v.description('the machine’s user name')),
  features: v.pipe(Texts, v.readonly(), v.description('the machine’s features: cpu:zen4, nvcap:9.0')),
  image: v.pipe(v.string(), v.description('docker.io/qnib/bench:latest')),
  verdict: v.pipe(
    v.picklist(ANSWER_VERDICTS),
    v.description(
      'fitted: the entry demands hardware that the machine has; generic: the entry demands none, but others do; ' +
        'unchanged: no entry demands any; refused: no entry runs on the machine; failed: the registry did not answer',
    ),
  ),
  entry: v.pipe(
    v.nullable(v.string()),
    v.description('what the chosen entry demands; null: MetaHub chose none'),
  ),
  digest: v.pipe(v.nullable(v.string()), v.description('of the answer; null: MetaHub sent none')),
  reason: v.string(),
  notes: v.pipe(
    Texts,
    v.readonly(),
    v.description('remarks, such as an accelerator that the entry does not use'),
  ),
  fit: v.pipe(
    v.nullable(v.picklist(FIT_KINDS)),
    v.description('how close the entry comes to what the machine could run; null: there was no choice'),
  ),
  answers: v.pipe(Count, v.description('the number of equal answers')),
  firstAt: Time,
  lastAt: Time,
});

/** A machine that has pulled. */
export const HOST = v.object({
  account: v.string(),
  login: v.string(),
  features: v.pipe(Texts, v.readonly()),
  address: v.pipe(v.string(), v.description('the address of its requests')),
  firstAt: Time,
  lastAt: Time,
});

export function answerOf(answer: RecordedAnswer): v.InferOutput<typeof ANSWER> {
  const { account, login, features, image, verdict, entry, digest, reason, notes, fit, answers } = answer;
  return {
    ...{ account, login, features, image, verdict, entry: entry ?? null },
    ...{ digest: digest === '' ? null : digest, reason, notes, fit: fit ?? null, answers },
    firstAt: new Date(answer.firstMs).toISOString(),
    lastAt: new Date(answer.lastMs).toISOString(),
  };
}
