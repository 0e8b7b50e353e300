import type { Sealer } from '../../lib/seal.ts';
import type { ChangeLine } from './form-pages.ts';
import type { FormField, FormParams, WebForm } from './web-form.ts';

/** A change that waits for its confirmation. */
export interface PendingChange {
  /** The id of its form. */
  readonly form: string;
  readonly params: FormParams;
  readonly body: unknown;
  readonly entityTag: string;
  readonly expiresMs: number;
}

/** How long a person can confirm a change, in milliseconds. */
const CONFIRM_MS = 60 * 60_000;

/**
 * Seals pending changes for the session that asked for them, and puts them into the page. No other site can
 * forge or read one, and every replica can apply it.
 */
export class PendingChanges {
  readonly #sealer: Sealer;
  readonly #wallClock: () => number;

  constructor(sealer: Sealer, wallClock: () => number) {
    this.#sealer = sealer;
    this.#wallClock = wallClock;
  }

  seal(change: Omit<PendingChange, 'expiresMs'>, session: string): string {
    return this.#sealer.seal(
      JSON.stringify({ ...change, expiresMs: this.#wallClock() + CONFIRM_MS }),
      session,
    );
  }

  open(sealed: string, session: string): PendingChange | undefined {
    const text = this.#sealer.open(sealed, session);
    if (text === undefined) return undefined;
    const change = JSON.parse(text) as PendingChange;
    return this.#wallClock() < change.expiresMs ? change : undefined;
  }
}

function shownValue(value: unknown): string {
  if (value === undefined || value === null || value === '') return 'none';
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(' ');
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return String(value);
}

function labelOf(fields: readonly FormField[], key: string): string {
  const found = fields.find(({ name }) => name === key)?.label;
  return found ?? `${key.charAt(0).toUpperCase()}${key.slice(1)}`;
}

/** Lists the changed values of a resource, or all values of a new one. Never shows a password. */
export function describeChange(
  { fields }: WebForm,
  body: object,
  before: object | undefined,
): readonly ChangeLine[] {
  return Object.entries(body).flatMap(([key, value]): readonly ChangeLine[] => {
    if (value === undefined) return [];
    if (key === 'password')
      return [
        { what: 'Password', before: undefined, after: value === null ? 'the account’s' : 'another one' },
      ];
    const [was, is] = [shownValue((before as Record<string, unknown> | undefined)?.[key]), shownValue(value)];
    if (before !== undefined && was === is) return [];
    return [{ what: labelOf(fields, key), before: before === undefined ? undefined : was, after: is }];
  });
}
