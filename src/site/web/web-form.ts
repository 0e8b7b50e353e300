/** One field of a form. */
export interface FormField {
  readonly name: string;
  readonly label: string;
  readonly kind: 'text' | 'lines' | 'password' | 'choice' | 'check' | 'date';
  readonly help?: string;
  /** Values and labels of a choice. */
  readonly options?: readonly (readonly [value: string, words: string])[];
  readonly isRequired?: boolean;
}

/** A form that changes the site. */
export interface WebForm {
  /** The form's name in the path of its page. */
  readonly id: string;
  /** The id of the API's operation; absent: the form's. */
  readonly operation?: string;
  readonly title: (params: FormParams) => string;
  /** Without fields the form only asks for a confirmation. */
  readonly fields: readonly FormField[];
  /** The page that the browser returns to. */
  readonly back: '' | 'accounts' | 'groups';
  /** Formats the current resource for the fields; absent when the form adds or removes one. */
  readonly valuesOf?: (body: never) => Readonly<Record<string, string>>;
  /**
   * Returns the API path of the resource to change; undefined: the form adds a resource, or does not know its
   * name yet.
   */
  readonly resource?: (params: FormParams) => string | undefined;
  /** Takes the names of the resource from the submitted form; absent: the query contains them. */
  readonly paramsOf?: (form: URLSearchParams, params: FormParams) => FormParams;
  /** Builds the operation's body from the submitted form and the current resource. */
  readonly bodyOf?: (form: URLSearchParams, params: FormParams, before: never) => object;
  /** What to do with the token that the operation makes. */
  readonly tokenHelp?: string;
  /** The consequences that cannot be undone. */
  readonly warning?: (params: FormParams) => string;
  readonly done: (params: FormParams) => string;
}

/** The names of the resource to change. */
export interface FormParams {
  readonly user: string;
  readonly name: string;
}

/** Splits a field into words, at commas and white space. */
export function words(text: string | null): readonly string[] {
  return (text ?? '').split(/[\s,]+/).filter((word) => word !== '');
}

export const given = (text: string | null): string | undefined =>
  text === null || text.trim() === '' ? undefined : text.trim();

export const accountPath = ({ user }: FormParams) => `/accounts/${encodeURIComponent(user)}`;
