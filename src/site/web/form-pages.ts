import { Html, html } from '../../lib/html.ts';
import type { BodyError } from '../api/api-problem.ts';
import { alertOf, cardOf, linkTo, pageOf } from './layout.ts';
import type { FormField, FormParams, WebForm } from './web-form.ts';

/** Returns the submitted or current value of a field. */
export type FormValues = (name: string) => string;

export interface FormPageFacts {
  readonly form: WebForm;
  readonly params: FormParams;
  readonly user: string;
  readonly values: FormValues;
  /** Identifies the state of the resource. */
  readonly entityTag: string | undefined;
  readonly errors: readonly BodyError[];
  /** Why the page shows the form again. */
  readonly alert?: string | undefined;
}

function errorsOf({ name }: FormField, errors: readonly BodyError[]): readonly BodyError[] {
  return errors.filter(({ pointer }) => pointer === `/${name}` || pointer.startsWith(`/${name}/`));
}

function input(field: FormField, value: string, describedBy: Html): Html {
  const { name, kind, options = [], isRequired } = field;
  const required = new Html(isRequired ? ' required' : '');
  switch (kind) {
    case 'lines':
      return html`<textarea id="${name}" name="${name}" spellcheck="false"${describedBy}>${value}</textarea>`;
    case 'check':
      return html`<label class="option"><input type="checkbox" id="${name}" name="${name}"${new Html(value === 'on' ? ' checked' : '')}> ${field.label}</label>`;
    case 'choice':
      return html`<fieldset><legend>${field.label}</legend>${options.map(
        ([option, words], at) =>
          html`<label class="option"><input type="radio" name="${name}" value="${option}"${new Html(
            value === option || (value === '' && at === 0) ? ' checked' : '',
          )}> ${words}</label>`,
      )}</fieldset>`;
    case 'password':
      return html`<input type="password" id="${name}" name="${name}" autocomplete="new-password"${describedBy}>`;
    case 'text':
    case 'date':
      return html`<input type="${kind}" id="${name}" name="${name}" value="${value}" autocomplete="off" spellcheck="false"${required}${describedBy}>`;
  }
}

function fieldOf(field: FormField, { values, errors }: FormPageFacts): Html {
  const { name, label, help, kind } = field;
  const wrong = errorsOf(field, errors);
  const hasLabel = kind !== 'check' && kind !== 'choice';
  const isDescribed = help !== undefined || wrong.length > 0;
  const describedBy = new Html(
    `${isDescribed ? ` aria-describedby="${name}-help"` : ''}${wrong.length > 0 ? ' aria-invalid="true"' : ''}`,
  );
  return html`<div>${hasLabel ? html`<label for="${name}">${label}</label>` : undefined}
${input(field, values(name), describedBy)}
${isDescribed ? html`<div id="${name}-help">${wrong.map(({ detail }) => html`<p class="bad">${detail}</p>`)}${help === undefined ? undefined : html`<p class="dim">${help}</p>`}</div>` : undefined}</div>`;
}

/** The form of a change; the confirmation follows. */
export function formPage(facts: FormPageFacts): string {
  const { form, params, user, entityTag, alert, errors } = facts;
  const { id, fields, back } = form;
  const unplaced = errors.filter((error) => !fields.some((field) => errorsOf(field, [error]).length > 0));
  return pageOf(
    { title: form.title(params), section: back, user },
    ...(alert === undefined ? [] : [alertOf('bad', alert)]),
    ...unplaced.map(({ detail }) => alertOf('bad', detail)),
    html`<section class="card whole"><form class="fields" method="post" action="${linkTo(`edit/${id}`, { ...params })}">
<input type="hidden" name="etag" value="${entityTag ?? ''}">
${fields.map((field) => fieldOf(field, facts))}
<div class="actions"><button class="main">Continue</button> <a href="${linkTo(back)}">Cancel</a></div>
</form></section>`,
  );
}

/** One changed value. */
export interface ChangeLine {
  readonly what: string;
  readonly before: string | undefined;
  readonly after: string;
}

export interface ConfirmPageFacts {
  readonly form: WebForm;
  readonly params: FormParams;
  readonly user: string;
  readonly lines: readonly ChangeLine[];
  /** The change, sealed for this session. */
  readonly sealed: string;
}

/** Describes a change; its button applies it. */
export function confirmPage({ form, params, user, lines, sealed }: ConfirmPageFacts): string {
  const { title, back, warning, id, fields } = form;
  const isRemoval = fields.length === 0;
  const rows = lines.map(
    ({ what, before, after }) =>
      html`<tr><th scope="row">${what}</th>${before === undefined ? undefined : html`<td data-label="from"><span class="dim">${before}</span></td>`}<td data-label="${before === undefined ? '' : 'to'}">${after}</td></tr>`,
  );
  const nothing = html`<p>This changes nothing.</p>`;
  const table =
    lines.length > 0 ? html`<table><tbody>${rows}</tbody></table>` : isRemoval ? undefined : nothing;
  return pageOf(
    { title: title(params), section: back, user },
    cardOf(
      isRemoval ? 'Remove it?' : 'Is this right?',
      warning ? html`<p class="warn">${warning(params)}</p>` : undefined,
      table,
      html`<form method="post" action="${linkTo('confirm')}"><input type="hidden" name="change" value="${sealed}">
<div class="actions"><button class="${isRemoval ? 'danger' : 'main'}">${isRemoval ? 'Remove' : 'Save'}</button>
${isRemoval ? undefined : html`<a href="${linkTo(`edit/${id}`, { ...params })}">Start again</a>`} <a href="${linkTo(back)}">Cancel</a></div></form>`,
    ),
  );
}

/** Shows a new token, once. */
export function tokenPage(
  user: string,
  { title, tokenHelp, back }: WebForm,
  params: FormParams,
  token: string,
): string {
  return pageOf(
    { title: title(params), section: back, user },
    cardOf(
      'It is not shown again',
      html`<p>${tokenHelp}</p><code class="secret">${token}</code>
<p class="actions"><a href="${linkTo(back)}">I have copied it</a></p>`,
    ),
  );
}

/** Describes a problem and the next step. */
export function problemPage(
  user: string | undefined,
  title: string,
  detail: string,
  nextStep: string | undefined,
): string {
  return pageOf(
    { title, user },
    cardOf(
      detail,
      nextStep === undefined ? undefined : html`<p>${nextStep}</p>`,
      html`<p class="actions"><a href="${linkTo('')}">Back to the site</a></p>`,
    ),
  );
}

export interface LoginPageFacts {
  readonly login: string;
  readonly returnTo: string;
  readonly alert: string | undefined;
  /** Path of the login at an OpenID provider; undefined: the site has none. */
  readonly providerPath: string | undefined;
}

export function loginPage({ login, returnTo, alert, providerPath }: LoginPageFacts): string {
  const provider =
    providerPath === undefined
      ? undefined
      : html`<p class="actions"><a class="button" href="${providerPath}?${String(new URLSearchParams({ return: returnTo }))}">Log in with the provider</a></p>`;
  return pageOf(
    { title: 'Log in', user: undefined },
    html`<section class="card whole narrow">${alert === undefined ? undefined : html`<p class="bad" role="alert">${alert}</p>`}
<form class="fields" method="post" action="${linkTo('login')}"><input type="hidden" name="return" value="${returnTo}">
<div><label for="login">Account</label><input type="text" id="login" name="login" value="${login}" autocomplete="username" autocapitalize="none" required></div>
<div><label for="password">Password</label><input type="password" id="password" name="password" autocomplete="current-password" required></div>
<div class="actions"><button class="main">Log in</button></div></form>${provider}</section>`,
  );
}
