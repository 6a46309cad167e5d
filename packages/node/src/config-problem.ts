/** What is wrong with a configuration, for people: which key, what about it, and what to do. */
export interface ConfigProblem {
  /** A warning does not stop the node. */
  readonly severity: 'error' | 'warning';
  /** The key as it is written in the file, with an index where it is a list: `replicas[2]`. */
  readonly key: string;
  /** Half a sentence that follows the key: "is missing". */
  readonly message: string;
  /** A whole sentence, in the imperative. */
  readonly fix: string;
}

/** One block of text a problem, errors first. */
export function explainProblems(problems: readonly ConfigProblem[]): string {
  const ordered = [
    ...problems.filter((problem) => problem.severity === 'error'),
    ...problems.filter((problem) => problem.severity === 'warning'),
  ];
  return ordered.map(({ severity, key, message, fix }) => `${severity}: ${key} ${message}\n  fix: ${fix}`).join('\n');
}
