import { type LogMark, logMarks } from '@kimberlite/log';
import { type ReplicaMark, replicaMarks } from '@kimberlite/vsr';

export type CoverageMark = ReplicaMark | LogMark;

/** Every branch of the protocol and the log that a campaign must have taken. What is missing was not tested. */
export const coverageMarks: readonly CoverageMark[] = [...replicaMarks, ...logMarks];
