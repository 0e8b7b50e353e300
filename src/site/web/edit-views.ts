import { ApiProblem, toApiProblem } from '../api/api-problem.ts';
import type { ChangeSubject } from '../api/managed-accounts.ts';
import type { ApiResource, ApiService } from '../api/operation.ts';
import { readBodyBy } from '../api/request-body.ts';
import { describeChange, type PendingChange, type PendingChanges } from './changes.ts';
import { confirmPage, type FormPageFacts, formPage, tokenPage } from './form-pages.ts';
import { valuesIn, WEB_FORMS } from './forms.ts';
import { linkTo } from './layout.ts';
import { type OperationRunner, operationOf, tagOf } from './operations.ts';
import type { Visit, WebReply } from './visit.ts';
import type { FormParams, WebForm } from './web-form.ts';

function formOf(id: string): WebForm {
  const found = WEB_FORMS.find((form) => form.id === id);
  if (found) return found;
  throw new ApiProblem('no-resource', 'there is no such page');
}

const operationOfForm = ({ id, operation = id }: WebForm): string => operation;

function paramsIn(query: URLSearchParams): FormParams {
  return { user: query.get('user') ?? '', name: query.get('name') ?? '' };
}

/** Takes the names of a new resource from the body. */
function paramsWith(params: FormParams, body: unknown): FormParams {
  const { user = params.user, name = params.name } = (body ?? {}) as Partial<FormParams>;
  return { user, name };
}

/** Describes a resource with the labels of the form: `User name: qnib-type1`. */
function shownOf(form: WebForm, body: object): readonly string[] {
  const known = Object.entries(body).filter(([key]) => form.fields.some(({ name }) => name === key));
  return describeChange(form, Object.fromEntries(known), undefined).map(
    ({ what, after }) => `${what}: ${after}`,
  );
}

function subjectOf(operation: string): ChangeSubject {
  if (operation.endsWith('MachineType')) return 'types';
  if (operation.endsWith('Group')) return 'groups';
  return operation.endsWith('Token') ? 'tokens' : 'account';
}

/** The message about the last change, which the redirect's query names. */
export function doneMessage(query: URLSearchParams): string | undefined {
  const form = WEB_FORMS.find(({ id }) => id === query.get('done'));
  return form?.done(paramsIn(query));
}

/** Shows the form of a change, asks for its confirmation, and applies it. */
export class EditViews {
  readonly #service: ApiService;
  readonly #runner: OperationRunner;
  readonly #changes: PendingChanges;

  constructor(service: ApiService, runner: OperationRunner, changes: PendingChanges) {
    this.#service = service;
    this.#runner = runner;
    this.#changes = changes;
  }

  /** Shows the form, or the confirmation of a removal, which has no fields. */
  async show(visit: Visit, name: string): Promise<WebReply> {
    const form = formOf(name);
    if (form.fields.length === 0) return this.review(visit, name, new URLSearchParams());
    const params = paramsIn(visit.query);
    this.#requireRight(visit, form, params);
    const current = await this.#current(visit, form, params);
    const entityTag = current && tagOf(current);
    const known: Readonly<Record<string, string>> = current
      ? (form.valuesOf?.(current.body as never) ?? {})
      : {};
    return {
      page: this.#form(visit, form, { params, entityTag, values: (field) => known[field] ?? '', errors: [] }),
    };
  }

  /** Validates the submitted form and asks for confirmation. */
  async review(visit: Visit, name: string, written: URLSearchParams): Promise<WebReply> {
    const form = formOf(name);
    const named = paramsIn(visit.query);
    const params = form.paramsOf?.(written, named) ?? named;
    this.#requireRight(visit, form, params);
    // A form that names its resource itself has shown no state of the resource.
    const shownTag = form.paramsOf === undefined ? written.get('etag') : null;
    try {
      const before = await this.#current(visit, form, params);
      const body = form.bodyOf?.(written, params, before?.body as never) ?? {};
      const read = operationOf(operationOfForm(form)).body;
      const checked =
        read === undefined ? body : (readBodyBy(read, JSON.parse(JSON.stringify(body))) as object);
      const entityTag = shownTag || (before ? tagOf(before) : '');
      const change = { params, body, entityTag };
      return { page: this.#confirmation(visit, form, change, before?.body, checked) };
    } catch (error) {
      if (form.fields.length === 0) throw error;
      const { status, errors = [], message } = toApiProblem(error);
      const alert = errors.length > 0 ? 'Some fields are invalid.' : message;
      const values = (field: string) => written.get(field) ?? '';
      const facts = { params: named, entityTag: shownTag ?? undefined, values, errors, alert };
      return { status, page: this.#form(visit, form, facts) };
    }
  }

  /** Applies a confirmed change. */
  async confirm(visit: Visit, written: URLSearchParams): Promise<WebReply> {
    const change = this.#changes.open(written.get('change') ?? '', visit.session);
    if (change === undefined) {
      throw new ApiProblem('conflict', 'the confirmation has expired, or belongs to another session', {
        nextStep: 'Start the change again.',
      });
    }
    const form = formOf(change.form);
    const params = paramsWith(change.params, change.body);
    const { body: schema } = operationOf(operationOfForm(form));
    try {
      const body = schema === undefined ? undefined : readBodyBy(schema, change.body);
      const reply = await this.#runner.run(visit, operationOfForm(form), {
        params: { ...change.params },
        body,
        entityTag: change.entityTag,
      });
      const { token } = (reply.body ?? {}) as { readonly token?: string };
      const { user } = visit.caller.identity.account;
      if (token !== undefined) return { page: tokenPage(user, form, change.params, token) };
      return { location: linkTo(form.back, { done: form.id, ...params }) };
    } catch (error) {
      return this.#showAgain(visit, form, change, error);
    }
  }

  /** Shows the form again, with the submitted values and the problem. */
  async #showAgain(visit: Visit, form: WebForm, change: PendingChange, error: unknown): Promise<WebReply> {
    const { params } = change;
    const problem = toApiProblem(error);
    // The error itself, by which the audit trail knows that it has an entry.
    if (form.fields.length === 0 || problem.status === 500) throw error;
    const current = await this.#current(visit, form, params);
    const isLate = problem.code === 'changed' && current !== undefined;
    const now = isLate ? shownOf(form, current.body) : [];
    const alert = isLate
      ? `Somebody else has changed it meanwhile, so nothing was saved. The current values are: ${now.join('; ')}.`
      : `Nothing was saved: ${problem.message}.`;
    const facts = {
      params,
      entityTag: current && tagOf(current),
      values: valuesIn(form, { ...params, ...(change.body as object | undefined) }),
      errors: problem.errors ?? [],
    };
    return { status: problem.status, page: this.#form(visit, form, { ...facts, alert }) };
  }

  async #current(visit: Visit, form: WebForm, params: FormParams): Promise<ApiResource | undefined> {
    const path = form.resource?.(params);
    return path === undefined ? undefined : this.#runner.resource(visit, path);
  }

  #form(visit: Visit, form: WebForm, facts: Omit<FormPageFacts, 'form' | 'user'>): string {
    return formPage({ form, user: visit.caller.identity.account.user, ...facts });
  }

  #confirmation(
    visit: Visit,
    form: WebForm,
    change: Omit<PendingChange, 'form' | 'expiresMs'>,
    before: object | undefined,
    checked: object,
  ): string {
    const sealed = this.#changes.seal({ form: form.id, ...change }, visit.session);
    const lines = describeChange(form, checked, before);
    const { user } = visit.caller.identity.account;
    return confirmPage({ form, params: change.params, user, lines, sealed });
  }

  /** @throws {ApiProblem} when the visitor may not make the change, before they fill in the form */
  #requireRight({ caller }: Visit, form: WebForm, { user }: FormParams): void {
    this.#service.accounts.requireAdmin(caller, user, subjectOf(operationOfForm(form)));
  }
}
