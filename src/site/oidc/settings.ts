import * as v from 'valibot';
import { isLoopback } from '../../lib/address.ts';
import { choice, combining, fields, mapOf, oneOrMore, reading, shown, Text } from '../../lib/schema.ts';
import { containsLogin } from '../../lib/url.ts';
import { ACCOUNT_ROLES, AccountName, NAME } from '../account.ts';

/** Checks an issuer; accepts plain HTTP on loopback only. Returns it unchanged. */
export function readIssuer(value: string): string | undefined {
  const url = URL.canParse(value) ? new URL(value) : undefined;
  if (url === undefined || containsLogin(url) || url.search !== '' || url.hash !== '') return undefined;
  const isPrivate = url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname));
  return isPrivate ? value : undefined;
}

const Issuer = v.pipe(
  v.string(),
  v.examples(['https://login.example.org/realms/lab']),
  reading(readIssuer, (value) => `${shown(value)} is not an issuer: an https URL as the provider writes it`),
);

/** A placeholder for a claim: `{email}`. */
const PLACEHOLDER = /\{([A-Za-z0-9_]+)\}/g;

const AccountTemplate = v.pipe(
  v.string(),
  v.regex(
    /^(?:[A-Za-z0-9._@-]|\{[A-Za-z0-9_]+\})+$/,
    ({ input }) => `${shown(input)} is not the name of an account`,
  ),
  v.examples(['{email}', '{preferred_username}', 'visitors']),
);

const RuleEntries = fields({
  claims: v.optional(mapOf(Text, oneOrMore(v.string())), {}),
  account: AccountTemplate,
  role: v.optional(choice(...ACCOUNT_ROLES)),
  groups: v.optional(v.array(AccountName)),
  groupsClaim: v.optional(Text),
});

/** Maps people with these claims to an account. */
export interface ClaimRule {
  /** Claim -> accepted values. A person must match all claims. */
  readonly claims: ReadonlyMap<string, readonly string[]>;
  /** With placeholders: each person has an account. Without: people share one account. */
  readonly account: string;
  readonly isShared: boolean;
  readonly role: (typeof ACCOUNT_ROLES)[number] | undefined;
  readonly groups: readonly string[];
  /** Name of the claim that lists further groups. */
  readonly groupsClaim: string | undefined;
}

const Rule = v.pipe(
  RuleEntries,
  combining(({ claims, account, role, groups, groupsClaim }, refuse): ClaimRule => {
    const isShared = account.search(PLACEHOLDER) < 0;
    if (isShared && (role ?? groups ?? groupsClaim) !== undefined) {
      refuse('an account without {claim} is shared: write its role and groups to its own file', 'account');
    }
    if (role === 'publisher' && groups === undefined && groupsClaim === undefined) {
      refuse('a publisher needs groups, which say where it may push', 'role');
    }
    return { claims, account, isShared, role, groups: groups ?? [], groupsClaim };
  }),
);

/** Settings of the OpenID provider, and the rules that map claims to accounts. */
export const OidcProviderSettings = fields({
  issuer: Issuer,
  clientId: Text,
  /** Absent: a public client, with PKCE only. */
  clientSecretFile: v.optional(Text),
  /** The public client of `metahub login --oidc`; absent: `clientId`. */
  deviceClientId: v.optional(Text),
  scopes: v.optional(v.pipe(v.array(Text), v.minLength(1, 'a scope is expected')), [
    'openid',
    'profile',
    'email',
  ]),
  accounts: v.pipe(v.array(Rule), v.minLength(1, 'a rule is expected')),
});

export type OidcSettings = v.InferOutput<typeof OidcProviderSettings>;

/** Claims of an ID token. */
export type Claims = Readonly<Record<string, unknown>>;

/** A person, with the account that a rule maps them to. */
export interface Person {
  readonly issuer: string;
  readonly subject: string;
  readonly user: string;
  readonly isShared: boolean;
  readonly role: ClaimRule['role'];
  readonly groups: readonly string[];
  /** True when the rule grants rights by groups, whichever groups the person is in. */
  readonly isGrouped: boolean;
}

function textsOf(value: unknown): readonly string[] {
  const values = Array.isArray(value) ? value : [value];
  return values.filter((one) => ['string', 'number', 'boolean'].includes(typeof one)).map(String);
}

function fits({ claims }: ClaimRule, of: Claims): boolean {
  return [...claims].every(([name, wanted]) => textsOf(of[name]).some((text) => wanted.includes(text)));
}

/** Fills in the placeholders; undefined when a claim is missing, or when the result is not a valid name. */
function fillTemplate(template: string, claims: Claims): string | undefined {
  let isWhole = true;
  const name = template.replace(PLACEHOLDER, (_, claim: string) => {
    const value = Object.hasOwn(claims, claim) ? claims[claim] : undefined;
    if (typeof value !== 'string') isWhole = false;
    return String(value);
  });
  return isWhole && NAME.test(name) ? name : undefined;
}

/** Maps claims to an account by the first matching rule; undefined: no rule matches. */
export function personOf(claims: Claims, rules: readonly ClaimRule[]): Person | undefined {
  const rule = rules.find((one) => fits(one, claims));
  const user = rule && fillTemplate(rule.account, claims);
  const { iss: issuer, sub: subject } = claims;
  if (rule === undefined || user === undefined || typeof issuer !== 'string' || typeof subject !== 'string')
    return undefined;
  const { isShared, role, groupsClaim } = rule;
  // Stryker disable next-line ConditionalExpression: no provider has a claim of the name `undefined`.
  const listed = groupsClaim === undefined ? [] : textsOf(claims[groupsClaim]);
  const groups = [...new Set([...rule.groups, ...listed])];
  const isGrouped = rule.groups.length > 0 || groupsClaim !== undefined;
  return { issuer, subject, user, isShared, role, groups, isGrouped };
}
