import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The `kimberlite` that an operator would start. */
export const shipped = fileURLToPath(new URL('../../packages/cli/bin/kimberlite.js', import.meta.url));

const field = (pid, name) => {
  const found = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return found === null ? 0 : Number(found[1]) / 1024;
};

/** Resident memory of a process, and the most it ever was, in MiB. Linux only. */
export const memoryMiB = (pid) => ({ now: field(pid, 'VmRSS'), peak: field(pid, 'VmHWM') });

/** Processor time a process has used so far, in seconds. */
export function cpuSeconds(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** `--frames 1000 --json` as { frames: 1000, json: true }; unknown names are mistakes. */
export function readArguments(defaults) {
  const values = { ...defaults };
  const given = process.argv.slice(2);
  for (let i = 0; i < given.length; i++) {
    const name = given[i].replace(/^--/, '').replace(/-([a-z])/g, (_, c) => c.toUpperCase());
    if (!(name in defaults)) {
      process.stderr.write(
        `unknown option ${given[i]}; known: ${Object.entries(defaults)
          .map(([k, v]) => `--${k.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)} (${v})`)
          .join(', ')}\n`,
      );
      process.exit(2);
    }
    if (typeof defaults[name] === 'boolean') values[name] = true;
    else values[name] = typeof defaults[name] === 'number' ? Number(given[++i]) : given[++i];
  }
  return values;
}

export const median = (numbers) => {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
};
