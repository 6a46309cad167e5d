/** One check: null when it is fine, else the reason it is not. */
export interface HealthCheck {
  readonly name: string;
  readonly problem: string | null;
}

export interface Health {
  readonly healthy: boolean;
  /** A check a line. */
  readonly text: string;
}

export function reportHealth(checks: readonly HealthCheck[]): Health {
  const lines = checks.map(({ name, problem }) => (problem === null ? `[+]${name} ok` : `[-]${name} ${problem}`));
  return { healthy: checks.every((check) => check.problem === null), text: `${lines.join('\n')}\n` };
}
