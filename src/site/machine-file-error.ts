/** What is wrong, for programs: what a caller does about it depends on this, never on the message. */
export type MachineFileProblem =
  /** The text of a file, or of the change, is not valid. */
  | 'invalid'
  /** There is an account or a machine type of that name. */
  | 'exists'
  /** There is no account or machine type of that name. */
  | 'missing'
  /** The file, or the password that authorised the change, changed meanwhile. */
  | 'changed'
  | 'too-large'
  /** Another process is changing the folder, and does not finish. */
  | 'busy'
  /** The folder cannot be written by this user. */
  | 'read-only';

export interface MachinePlace {
  /** The path of the file. */
  readonly file?: string;
  readonly line?: number;
  /** The path of another file that conflicts. */
  readonly otherFile?: string;
}

/** A machine file that cannot be served or changed. `why` may be sent to clients; `message` adds paths of the server. */
export class MachineFileError extends Error {
  override readonly name = 'MachineFileError';
  readonly problem: MachineFileProblem;
  readonly why: string;
  readonly place: MachinePlace;

  constructor(problem: MachineFileProblem, why: string, place: MachinePlace = {}, options?: ErrorOptions) {
    const { file, line, otherFile } = place;
    const at = file === undefined ? '' : `${file}${line === undefined ? '' : `:${line}`}: `;
    super(`${at}${why}${otherFile === undefined ? '' : `, in ${otherFile}`}`, options);
    this.problem = problem;
    this.why = why;
    this.place = place;
  }
}
