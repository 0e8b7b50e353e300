import * as v from 'valibot';
import { whyUnreadable } from '../lib/config-error.ts';
import { readTextFile } from '../lib/regular-file.ts';
import { PROBLEM } from '../site/api/resources.ts';
import { API_PATH } from '../site/api/routes.ts';
import { basicAuthorization } from '../upstream/auth/credentials.ts';
import { readPassword } from './password-input.ts';
import { askSite, readSiteAddress, type SiteAddress } from './site-client.ts';
import { UserError } from './user-error.ts';

/** The site that a command is about, and the account that it uses. */
export interface SiteFlags {
  readonly site?: string | undefined;
  readonly user?: string | undefined;
  readonly passwordFile?: string | undefined;
}

async function passwordFor(what: string, { passwordFile: file }: SiteFlags): Promise<string> {
  if (file === undefined || file === '-') {
    return readPassword({
      ...{ fromStdin: file === '-', what, confirm: false },
      withoutTerminal: 'Name the file with it: --password-file FILE (-: stdin).',
    });
  }
  const text = await readTextFile(file).catch((cause: Error) => {
    throw new UserError(`--password-file ${file}: ${whyUnreadable(cause)}`, {
      cause,
      nextStep: 'Name a file that contains only the password, or - for stdin.',
    });
  });
  return text.replace(/\r?\n$/, '');
}

/** An answer of the API. */
export interface SiteReply {
  readonly document: unknown;
  readonly entityTag: string;
}

/** Encodes one name as a segment of a path. */
export const segment = encodeURIComponent;

/** Maximum number of parts of a list. No list that this program requests has more. */
const PARTS_MAX = 1000;

/** The management API of a remote site, for one account. */
export class SiteApi {
  readonly #site: SiteAddress;
  readonly #account: string;
  readonly #authorization: string;

  /** @throws {UserError} when the flags name no site or account, or when there is no password */
  static async open(flags: SiteFlags): Promise<SiteApi> {
    const address = readSiteAddress(flags.site ?? '');
    const account = flags.user ?? process.env['METAHUB_SITE_ACCOUNT'];
    if (account === undefined) {
      throw new UserError('--site needs to know who asks', {
        nextStep: 'Name the account: --user ACCOUNT, or METAHUB_SITE_ACCOUNT.',
        exitStatus: 2,
      });
    }
    const password = await passwordFor(`password of ${account} at ${address.registry}`, flags);
    return new SiteApi(address, account, password);
  }

  private constructor(site: SiteAddress, account: string, password: string) {
    this.#site = site;
    this.#account = account;
    this.#authorization = basicAuthorization(account, password);
  }

  get registry(): string {
    return this.#site.registry;
  }

  /** Fetches one resource. @throws {UserError} */
  async get<Schema extends v.GenericSchema>(
    path: string,
    schema: Schema,
  ): Promise<{ readonly resource: v.InferOutput<Schema>; readonly entityTag: string }> {
    const { document, entityTag } = await this.#ask('GET', path);
    return { resource: this.#read(schema, document), entityTag };
  }

  /** Fetches all items of a list, part by part. @throws {UserError} */
  async list<Item extends v.GenericSchema>(path: string, key: string, item: Item) {
    const schema = v.object({ [key]: v.array(item) });
    const items: v.InferOutput<Item>[] = [];
    let next: string | undefined = `${path}?limit=500`;
    for (let parts = 0; next !== undefined && parts < PARTS_MAX; parts += 1) {
      const { document, headers } = await this.#request('GET', next, {});
      items.push(...(this.#read(schema, document)[key] ?? []));
      // Accepts only a path of the API, so that the login is sent nowhere else.
      next = new RegExp(`^<${API_PATH}(/[^>]+)>; rel="next"$`).exec(headers['link'] ?? '')?.[1];
    }
    return items;
  }

  /** Adds a resource, and reads the answer. @throws {UserError} */
  async post<Schema extends v.GenericSchema>(
    path: string,
    body: object,
    schema: Schema,
  ): Promise<v.InferOutput<Schema>> {
    return this.#read(schema, (await this.#ask('POST', path, { body })).document);
  }

  /** Adds a resource at a path where there is none. @throws {UserError} */
  add(path: string, body: object): Promise<SiteReply> {
    return this.#ask('PUT', path, { body, headers: { 'if-none-match': '*' } });
  }

  /** Changes a resource in the state of `entityTag`. @throws {UserError} when its state is another */
  edit(
    method: 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    entityTag: string,
    body?: object,
  ): Promise<SiteReply> {
    return this.#ask(method, path, { body, headers: { 'if-match': entityTag } });
  }

  async #ask(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    sent: SentBody = {},
  ): Promise<SiteReply> {
    const { document, headers } = await this.#request(method, path, sent);
    return { document, entityTag: headers['etag'] ?? '' };
  }

  async #request(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    { body, headers = {} }: SentBody,
  ) {
    const answer = await askSite(this.#site, {
      ...{ method, path: `${API_PATH}${path}`, authorization: this.#authorization, headers },
      ...(body === undefined ? {} : { body: { type: 'application/json', text: JSON.stringify(body) } }),
    });
    if (answer.status >= 200 && answer.status < 300) return answer;
    throw this.#refusal(answer.status, answer.document);
  }

  #read<Schema extends v.GenericSchema>(schema: Schema, document: unknown): v.InferOutput<Schema> {
    const { success, output } = v.safeParse(schema, document);
    if (success) return output;
    throw new UserError(`${this.registry} did not answer as a MetaHub of this version does`, {
      nextStep: 'Use the metahub program of the site’s version.',
    });
  }

  #refusal(status: number, document: unknown): UserError {
    const { success, output: problem } = v.safeParse(PROBLEM, document);
    if (!success) {
      return new UserError(
        `${this.registry} answers ${status}: it is not a MetaHub that serves machine types`,
        {
          nextStep: 'Ask the operator for the address of the site.',
        },
      );
    }
    const { code, detail, nextStep, errors = [] } = problem;
    if (code === 'login-refused') {
      return new UserError(`${this.registry} refuses the login of ${this.#account}`, {
        nextStep: 'Check the password.',
      });
    }
    const parts =
      errors.length > 1 ? `: ${errors.map((error) => `${error.pointer} ${error.detail}`).join('; ')}` : '';
    const isMiswritten = code === 'invalid-body' || code === 'invalid-query';
    const next =
      code === 'changed' ? 'Nothing was changed. Read the current state, then repeat the command.' : nextStep;
    return new UserError(`${this.registry}: ${detail}${parts}`, {
      ...(next === undefined ? {} : { nextStep: next }),
      exitStatus: isMiswritten ? 2 : 1,
    });
  }
}

interface SentBody {
  readonly body?: object | undefined;
  readonly headers?: Readonly<Record<string, string>>;
}
