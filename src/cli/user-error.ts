/** Exit statuses: 1 it failed, 2 it was called wrongly, 3 it was done in part (a probe failed, a fallback was taken). */
export type ExitStatus = 1 | 2 | 3;

/** A failure a person can act on: one line that says what, and one that says what to do next. */
export class UserError extends Error {
  override readonly name = 'UserError';
  readonly nextStep: string | undefined;
  readonly exitStatus: ExitStatus;

  constructor(message: string, options: ErrorOptions & { nextStep?: string; exitStatus?: ExitStatus } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.nextStep = options.nextStep;
    this.exitStatus = options.exitStatus ?? 1;
  }
}
