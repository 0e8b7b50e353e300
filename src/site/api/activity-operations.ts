import * as v from 'valibot';
import type { Repository } from '../../oci/reference.ts';
import { type GAP, GAPS } from '../../selection/gap-schema.ts';
import { repositoryNamed } from '../permissions.ts';
import { ANSWER_VERDICTS, answerKey, type RecordedAnswer } from '../pull-record.ts';
import { ANSWER, answerOf, HOST } from './activity-resources.ts';
import { ApiProblem } from './api-problem.ts';
import {
  type ApiCall,
  type ApiOperation,
  type ApiService,
  cutPart,
  matchesAccount,
  operation,
  sortByKey,
} from './operation.ts';

const IMAGE_QUERY = 'only images whose name contains this text';
const LOGIN_QUERY = 'only answers to this login';
const VERDICT_QUERY = `only answers with this verdict: ${ANSWER_VERDICTS.join(', ')}`;

/** True when the image contains the query's `image`. */
function matchesImage({ query }: ApiCall, image: string): boolean {
  return image.includes(query.get('image') ?? '');
}

/** True when the login is the query's `login`, or the query names none. */
function matchesLogin({ query }: ApiCall, { login }: Pick<RecordedAnswer, 'login'>): boolean {
  return (query.get('login') ?? login) === login;
}

/**
 * True when the caller may see the answer: its own account's, for repositories that its login and its token
 * may pull.
 */
function isVisible(
  { rightsOf }: ApiService,
  call: ApiCall,
  { account, repository }: Pick<RecordedAnswer, 'account' | 'repository'>,
): boolean {
  const { identity, isAdmin } = call.caller;
  const isOwn = isAdmin || account === identity.account.user;
  return (
    isOwn && matchesAccount(call, { user: account }) && (isAdmin || rightsOf(identity).mayPull(repository))
  );
}

function verdictIn({ query }: ApiCall): string | undefined {
  const written = query.get('verdict') ?? undefined;
  if (written === undefined || (ANSWER_VERDICTS as readonly string[]).includes(written)) return written;
  throw new ApiProblem('invalid-query', `verdict must be one of ${ANSWER_VERDICTS.join(', ')}`);
}

/** Returns the repository of an image name: `docker.io/qnib/bench:latest` -> `docker.io/qnib/bench`. */
function repositoryOf(image: string): Repository | undefined {
  return repositoryNamed(image.replace(/:[^:/]*$/, ''));
}

/** The API's operations on pulls. */
export const ACTIVITY_OPERATIONS: readonly ApiOperation[] = [
  operation({
    id: 'listImages',
    method: 'GET',
    path: '/images',
    summary: 'Lists the images that each login pulled, the last entry that it got, and why',
    list: { byAccount: true },
    query: { image: IMAGE_QUERY, login: LOGIN_QUERY },
    answer: {
      status: 200,
      description: 'The last answer per image and login, sorted by image and login.',
      schema: v.object({ images: v.array(ANSWER) }),
    },
    problems: [],
    run: async (service, call) => {
      const keyOf = ({ image, login }: RecordedAnswer) => `${image} ${login}`;
      const seen = service.record
        .images()
        .filter(
          (one) => isVisible(service, call, one) && matchesImage(call, one.image) && matchesLogin(call, one),
        );
      const { items, next } = cutPart(sortByKey(seen, keyOf), call.list, keyOf);
      return { resource: { body: { images: items.map(answerOf) } }, next };
    },
  }),
  operation({
    id: 'listDecisions',
    method: 'GET',
    path: '/decisions',
    summary: 'Lists the latest answers to tags: the login, the entry, and why',
    description: 'The last 1,000 answers; equal answers within a minute count as one.',
    list: { byAccount: true },
    query: { image: IMAGE_QUERY, login: LOGIN_QUERY, verdict: VERDICT_QUERY },
    answer: {
      status: 200,
      description: 'The answers, the latest first.',
      schema: v.object({ decisions: v.array(ANSWER) }),
    },
    problems: [],
    run: async (service, call) => {
      const verdict = verdictIn(call);
      const wanted = service.record
        .latest()
        .filter(
          (one) => isVisible(service, call, one) && matchesImage(call, one.image) && matchesLogin(call, one),
        )
        .filter((one) => verdict === undefined || one.verdict === verdict);
      const { items, next } = cutPart(sortByKey(wanted, answerKey), call.list, answerKey);
      return { resource: { body: { decisions: items.map(answerOf) } }, next };
    },
  }),
  operation({
    id: 'listHosts',
    method: 'GET',
    path: '/hosts',
    summary: 'Lists the machines that have pulled, with their features',
    list: { byAccount: true },
    answer: {
      status: 200,
      description: 'The machines, sorted by login and address.',
      schema: v.object({ hosts: v.array(HOST) }),
    },
    problems: [],
    run: async ({ record }, call) => {
      const { identity, isAdmin } = call.caller;
      const keyOf = ({ login, address }: { login: string; address: string }) => `${login} ${address}`;
      const seen = record
        .hosts()
        .filter(({ account }) => isAdmin || account === identity.account.user)
        .filter(({ account }) => matchesAccount(call, { user: account }));
      const { items, next } = cutPart(sortByKey(seen, keyOf), call.list, keyOf);
      const hosts = items.map(({ firstMs, lastMs, ...host }) => ({
        ...host,
        firstAt: new Date(firstMs).toISOString(),
        lastAt: new Date(lastMs).toISOString(),
      }));
      return { resource: { body: { hosts } }, next };
    },
  }),
  operation({
    id: 'listGaps',
    method: 'GET',
    path: '/gaps',
    summary: 'Lists the gaps: pulls that another build would have served better',
    description:
      'An administrator sees all gaps, any other account those of repositories that it may push to.',
    list: { byAccount: false },
    query: { image: IMAGE_QUERY },
    answer: {
      status: 200,
      description: 'The gaps, sorted by image; see docs/gaps.md.',
      schema: GAPS,
    },
    problems: [],
    run: async ({ gaps, rightsOf }, call) => {
      const { identity, isAdmin } = call.caller;
      const mayBuild = (image: string) => {
        const repository = repositoryOf(image);
        return repository !== undefined && rightsOf(identity).mayPush(repository);
      };
      const wanted = gaps().filter(({ image }) => matchesImage(call, image) && (isAdmin || mayBuild(image)));
      const keyOf = ({ image, fit, platform, wanted: features }: v.InferOutput<typeof GAP>) =>
        JSON.stringify([image, platform, features, fit]);
      const { items, next } = cutPart(sortByKey(wanted, keyOf), call.list, keyOf);
      return { resource: { body: { version: 1, gaps: items } }, next };
    },
  }),
];
