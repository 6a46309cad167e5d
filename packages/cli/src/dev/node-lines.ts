import type { Colors } from '../terminal.ts';

/** In pino's numbers. */
const levels: ReadonlyMap<unknown, number> = new Map([
  ['trace', 10],
  ['debug', 20],
  ['info', 30],
  ['warn', 40],
  ['error', 50],
  ['fatal', 60],
]);

interface LogLine {
  readonly level: number;
  readonly name: string;
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
    const number = levels.get(level);
    if (number === undefined) return null;
    const fields = Object.entries(rest).map(
      ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
    );
    return { level: number, name: String(level), msg: typeof msg === 'string' ? msg : '', rest: fields.join(' ') };
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
  const { name } = parsed;
  const level = parsed.level >= 50 ? colors.red(name) : parsed.level >= 40 ? colors.yellow(name) : colors.dim(name);
  return `${who} ${level} ${parsed.msg}${parsed.rest === '' ? '' : ` ${colors.dim(parsed.rest)}`}`;
}
