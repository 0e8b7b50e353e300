import * as v from 'valibot';
import { type AzureAnswer, commitmentTo, createAzureSecret } from '../../../site/enrolment/azure-nonce.ts';
import type { PresentedIdentity } from '../../../site/enrolment/cloud-rules.ts';
import { ENROL_PATH, type EnrolledMachine } from '../../../site/enrolment/enrol-endpoint.ts';
import { askSite, type SiteAddress } from '../../site-client.ts';
import { UserError } from '../../user-error.ts';
import { awsIdentity, azureIdentity, gcpIdentity } from './metadata-service.ts';

/**
 * The login and the token are passed to runtimes and to the terminal, so the answer is validated like that of
 * an unknown server.
 */
const Word = v.pipe(v.string(), v.regex(/^[!-~]{1,1024}$/));
const ENROLLED = v.object({ login: Word, token: Word });
const CHALLENGE = v.object({ challenge: Word });

/**
 * Commits to a secret, then requests the challenge of the site. Only this order prevents the site from
 * choosing a challenge to match the secret. @throws {UserError}
 */
async function answerTo(site: SiteAddress): Promise<AzureAnswer> {
  const secret = createAzureSecret();
  const path = `${ENROL_PATH}?commitment=${commitmentTo(secret)}`;
  const { status, document } = await askSite(site, { path });
  const { success, output } = v.safeParse(CHALLENGE, document);
  if (status === 200 && success) return { secret, challenge: output.challenge };
  if (status === 429) {
    throw new UserError(`${site.registry} has given out too many challenges`, {
      nextStep: 'Repeat this command in a minute.',
    });
  }
  throw new UserError(`${site.registry} enrols no VMs of Azure`, {
    nextStep: 'Ask its administrator to add Azure to its enrolment setting, or enrol with a token.',
  });
}

/** Clouds that sign the identity of their instances, by the word that the option accepts instead of a secret. */
const CLOUDS: Readonly<
  Record<string, (site: SiteAddress, service: string | undefined) => Promise<PresentedIdentity>>
> = {
  aws: (_, service) => awsIdentity(service),
  azure: async (site, service) => azureIdentity(site.url.origin, await answerTo(site), service),
  gcp: ({ url }, service) => gcpIdentity(url.origin, service),
};

/** Returns the proof for the site: the secret of an enrolment, or the identity document of the cloud. */
async function shownTo(site: SiteAddress, written: string, service: string | undefined): Promise<object> {
  const cloud = CLOUDS[written];
  if (cloud === undefined) return { token: written };
  return cloud(site, service).catch((cause: Error) => {
    if (cause instanceof UserError) throw cause;
    throw new UserError(`the metadata service of ${written} does not answer: ${cause.message}`, {
      cause,
      nextStep: 'Run this on an instance of this cloud, or enrol with a token.',
    });
  });
}

/**
 * Exchanges the secret of an enrolment, or the identity document of a cloud, for the machine's own login.
 * @param service URL of the metadata service; its well-known address by default
 * @throws {UserError}
 */
export async function enrolAt(
  site: SiteAddress,
  written: string,
  service?: string,
): Promise<EnrolledMachine> {
  const body = { type: 'application/json', text: JSON.stringify(await shownTo(site, written, service)) };
  const { status, document } = await askSite(site, { path: ENROL_PATH, body });
  const { success, output } = v.safeParse(ENROLLED, document);
  if (status === 200 && success) return output;
  if (status === 403) {
    throw new UserError(`${site.registry} does not know this enrolment, or it was used, or has expired`, {
      nextStep: 'Create another one at the site: metahub machine enrol ACCOUNT TYPE',
    });
  }
  if (status === 503) {
    throw new UserError(`${site.registry} cannot write its accounts: the enrolment is not used up`, {
      nextStep: 'Make its directory of machine files writable for the service, then repeat this command.',
    });
  }
  throw new UserError(
    `${site.registry} answers ${status}: it is not a MetaHub site that accepts enrolments`,
    {
      nextStep: 'Ask the operator for the address of the site, or log in with --user ACCOUNT.',
    },
  );
}
