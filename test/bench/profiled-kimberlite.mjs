// The shipped `kimberlite`, with a profiler beside it: SIGUSR2 starts it, a second SIGUSR2 ends it and writes the
// profile to the directory in PROFILE_DIRECTORY. So only the time under load is in the profile, not the start.
import { writeFileSync } from 'node:fs';
import { Session } from 'node:inspector';
import { join } from 'node:path';
import { shipped } from '../fuzz/processes.mjs';

const session = new Session();
session.connect();
let profiling = false;
process.on('SIGUSR2', () => {
  if (!profiling) {
    profiling = true;
    session.post('Profiler.enable', () => {
      session.post('Profiler.setSamplingInterval', { interval: 200 }, () => session.post('Profiler.start'));
    });
    return;
  }
  profiling = false;
  session.post('Profiler.stop', (error, result) => {
    if (error !== null) throw error;
    writeFileSync(join(process.env.PROFILE_DIRECTORY, `${process.pid}.cpuprofile`), JSON.stringify(result.profile));
  });
});
await import(shipped);
