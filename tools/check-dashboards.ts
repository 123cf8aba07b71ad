import { join } from 'node:path';
import { problemsOfDashboards } from './src/dashboards/problems-of-dashboards.ts';

/** Tells what is wrong with `dashboards/` and `alerts/`; exit code 1 when something is. */
const problems = problemsOfDashboards(join(import.meta.dirname, '..'));
for (const problem of problems) console.error(problem);
console.log(problems.length === 0 ? 'Dashboards and alert rules ask for what is there.' : `${problems.length} problems`);
process.exitCode = problems.length === 0 ? 0 : 1;
