import { KimberliteError } from '@kimberlite/client';

// How a command of the CLI fails. The exit code says which of the two it was: 1 the operation failed, 2 wrong usage.

/** Fields beyond these depend on the code: an error of the kernel or of the SDK comes through as it is. */
export interface ErrorReport {
  readonly code: string;
  readonly message: string;
  readonly outcome?: string;
  readonly retryable?: boolean;
  readonly [field: string]: unknown;
}

/** The operation failed. `fix` is a sentence of its own: what the person does next. */
export class CliFailure extends Error {
  override readonly name = 'CliFailure';
  readonly report: ErrorReport;

  constructor(report: ErrorReport, fix?: string) {
    super(fix === undefined ? report.message : `${report.message}\n${fix}`);
    this.report = { ...report, message: this.message };
  }
}

/** The command line itself is wrong; nothing was done. */
export class UsageFailure extends Error {
  override readonly name = 'UsageFailure';
}

export const fail = (code: string, message: string, fix?: string): CliFailure => new CliFailure({ code, message }, fix);

/**
 * What is known of any thrown thing. Typed errors of the SDK have `code`, `outcome` and `retryable`, and a
 * kernel's rejection its own fields; anything else is a bug of ours and says so by its code.
 */
export function reportOf(error: unknown): ErrorReport {
  if (error instanceof CliFailure) return error.report;
  if (error instanceof UsageFailure) return { code: 'WrongUsage', message: error.message };
  if (error instanceof KimberliteError) return positioned(error);
  if (!(error instanceof Error)) return { code: 'Unexpected', message: String(error) };
  return { code: 'Unexpected', message: error.message, at: error.stack };
}

const positioned = (error: KimberliteError): ErrorReport => {
  const { code, message, outcome, retryable, details } = error;
  const report = { ...details, code, message, outcome, retryable };
  return error.position === null ? report : { ...report, position: error.position };
};

export const exitCodeOf = (error: unknown): 1 | 2 => (error instanceof UsageFailure ? 2 : 1);
