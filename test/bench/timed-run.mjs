import { spawn } from 'node:child_process';

/** Runs a program to its end; gives its stdout and the processor seconds it used. */
export function timedRun(command, args) {
  return new Promise((resolve, reject) => {
    // The shell's `time` counts what the program itself used; its own complaints go away with its stderr.
    const child = spawn('bash', ['-c', 'TIMEFORMAT="%U %S"; time "$@" 2>/dev/null', '_', command, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data) => {
      stdout += data;
    });
    child.stderr.on('data', (data) => {
      stderr += data;
    });
    child.once('error', reject);
    child.once('exit', (code) => {
      if (code !== 0) return reject(new Error(`${command} ${args.join(' ')} ended with ${code}: ${stdout}`));
      const [user, system] = stderr.trim().split(/\s+/).slice(-2).map(Number);
      resolve({ stdout, cpuSeconds: user + system });
    });
  });
}
