import type { Colors } from '../terminal.ts';

const levels: Readonly<Record<number, string>> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warn',
  50: 'error',
  60: 'fatal',
};

interface LogLine {
  readonly level: number;
  readonly msg: string;
  readonly rest: string;
}

function parse(text: string): LogLine | null {
  if (!text.startsWith('{')) return null;
  try {
    const {
      level,
      msg,
      time: _time,
      pid: _pid,
      hostname: _host,
      replica: _replica,
      v: _v,
      ...rest
    } = JSON.parse(text) as Record<string, unknown>;
    if (typeof level !== 'number') return null;
    const fields = Object.entries(rest).map(
      ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
    );
    return { level, msg: typeof msg === 'string' ? msg : '', rest: fields.join(' ') };
  } catch {
    return null;
  }
}

/** A log line of a node as the terminal of `dev` shows it, or null where it is not worth a line there. */
export function showLine(
  replica: number,
  text: string,
  options: { readonly levelMin: number; readonly colors: Colors },
): string | null {
  const { colors, levelMin } = options;
  const who = colors.cyan(`node ${replica}`);
  const parsed = parse(text);
  if (parsed === null) return text.trim() === '' ? null : `${who} ${text}`;
  if (parsed.level < levelMin) return null;
  const name = levels[parsed.level] ?? String(parsed.level);
  const level = parsed.level >= 50 ? colors.red(name) : parsed.level >= 40 ? colors.yellow(name) : colors.dim(name);
  return `${who} ${level} ${parsed.msg}${parsed.rest === '' ? '' : ` ${colors.dim(parsed.rest)}`}`;
}
