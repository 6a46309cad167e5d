import type { DiskError } from './disk.ts';

/** Why a log cannot be formatted or opened. `message` is for people and names what to do. */
export interface LogError {
  readonly kind:
    | 'missing-directory'
    | 'not-formatted'
    | 'already-formatted'
    | 'foreign-cluster'
    | 'foreign-replica'
    | 'version'
    | 'damaged'
    | 'disk';
  readonly message: string;
  readonly file?: string;
  readonly cause?: DiskError;
}

export const diskFailure = (cause: DiskError): LogError => ({
  kind: cause.code === 'missing' && cause.file === '' ? 'missing-directory' : 'disk',
  message: cause.message,
  file: cause.file,
  cause,
});
