import * as v from 'valibot';
import type { SharedState } from '../lib/shared-state.ts';
import { TOKEN_HASH } from './account.ts';
import type { LoginThrottle } from './login-throttle.ts';
import type { MachineFolder, TokenChanges } from './machine-folder.ts';

/** Maximum length of a shared name, in characters. No account's name is longer. */
const NAME_MAX = 256;

const ATTEMPT = v.object({
  address: v.pipe(v.string(), v.maxLength(64)),
  accountName: v.pipe(v.string(), v.maxLength(NAME_MAX)),
});

/** Counts failed and successful logins at every replica. */
export function shareLoginThrottle(own: LoginThrottle, state: SharedState): LoginThrottle {
  state.subscribe('login failed', ATTEMPT, own.fail);
  state.subscribe('login succeeded', ATTEMPT, own.succeed);
  return {
    waitMs: own.waitMs,
    fail: (attempt) => {
      own.fail(attempt);
      const { address, accountName } = attempt;
      if (accountName.length <= NAME_MAX) void state.publish('login failed', { address, accountName });
    },
    succeed: (attempt) => {
      own.succeed(attempt);
      const { address, accountName } = attempt;
      void state.publish('login succeeded', { address, accountName });
    },
  };
}

/** Maximum number of hashes in a message. */
const TOKENS_MAX = 2000;
const HASHES = v.pipe(v.array(v.pipe(v.string(), v.regex(TOKEN_HASH))), v.maxLength(TOKENS_MAX));
const CHANGE = v.object({ gone: HASHES, back: HASHES });

/** Tells the other replicas that machine files have changed, and which tokens are gone. */
export function publishMachineChange(state: SharedState, { gone, back }: TokenChanges): void {
  // One message at least: it also has the others read the folder.
  for (let at = 0; at === 0 || at < Math.max(gone.length, back.length); at += TOKENS_MAX) {
    const part = (hashes: readonly string[]) => hashes.slice(at, at + TOKENS_MAX);
    void state.publish('machines changed', { gone: part(gone), back: part(back) });
  }
}

/** Reads the folder again whenever another replica reports a change. */
export function followMachineChanges(folder: MachineFolder, state: SharedState): void {
  state.subscribe('machines changed', CHANGE, (tokens) => void folder.reread(tokens));
  state.onReturn(() => void folder.reread());
}
