/** Bounds on what one client, or all of them together, can make this process hold. */
export interface Limits {
  /** The request's target, in bytes. */
  readonly targetBytes: number;
  /** Request line and headers together, in bytes; a registry token alone can have 8 KiB. */
  readonly headerBytes: number;
  /** How long a client may take over sending its headers (slowloris), in milliseconds. */
  readonly headersTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  /** A connection on which nothing moves for this long is cut, a slow reader's too, in milliseconds. */
  readonly idleTimeoutMs: number;
  readonly connections: number;
  /** Requests being answered at the same time, over all connections. */
  readonly inFlight: number;
  /** Answers kept for sending again, in bytes. */
  readonly responseCacheBytes: number;
  /** Large documents (above 64 KiB) that are being sent at the same time, in bytes. */
  readonly answerBytes: number;
}

export const DEFAULT_LIMITS: Limits = {
  targetBytes: 8 * 1024,
  headerBytes: 32 * 1024,
  headersTimeoutMs: 10_000,
  keepAliveTimeoutMs: 65_000,
  idleTimeoutMs: 600_000,
  connections: 4096,
  inFlight: 1024,
  responseCacheBytes: 64 * 2 ** 20,
  answerBytes: 64 * 2 ** 20,
};
