import type { Log } from '../../lib/log.ts';
import type { SharedState } from '../../lib/shared-state.ts';
import type { Gap } from '../../selection/gap-schema.ts';
import type { GapTurns } from './gap-turns.ts';
import type { GapWebhook, WebhookValues } from './gap-webhook.ts';
import type { GapEvents } from './metrics.ts';

export interface GapEventOptions {
  readonly log: Log;
  readonly events: GapEvents;
  /** The state that replicas share; undefined: there are no replicas. */
  readonly shared: SharedState | undefined;
}

/**
 * Passes gaps to the webhook of the current settings, which a reload may replace. Loads no module of it when
 * there is no webhook.
 */
export class GapEventSender {
  readonly #options: GapEventOptions;
  #webhook: GapWebhook | undefined;
  #turns: GapTurns | undefined;
  #settings = '[]';

  constructor(options: GapEventOptions) {
    this.#options = options;
  }

  readonly offer = (gap: Gap, done: () => void): void => this.#webhook?.offer(gap, done);
  readonly remember = (gap: Gap): void => this.#webhook?.remember(gap);

  /**
   * Opens the webhook of these settings. Returns the function that replaces the current webhook by it, and
   * resolves to true when it did.
   * @throws {UserError} when the settings are unusable: the current webhook stays
   */
  async prepare(values: WebhookValues): Promise<() => Promise<boolean>> {
    const { gapWebhook, gapWebhookSecret, siteUrl } = values;
    const settings = JSON.stringify([gapWebhook, gapWebhookSecret, siteUrl]);
    if (settings === this.#settings) return async () => false;
    const open = gapWebhook === undefined ? undefined : await this.#prepare(gapWebhook, values);
    return async () => {
      await this.#webhook?.close();
      this.#webhook = open?.();
      this.#settings = settings;
      return true;
    };
  }

  async #prepare(url: string, values: WebhookValues): Promise<() => GapWebhook> {
    const { log, events, shared } = this.#options;
    const { prepareGapWebhook } = await import('./gap-webhook.ts');
    if (shared) this.#turns ??= (await import('./gap-turns.ts')).createGapTurns(shared);
    return prepareGapWebhook(url, values, { log, events, turns: this.#turns });
  }

  async close(): Promise<void> {
    await this.#webhook?.close();
  }
}
