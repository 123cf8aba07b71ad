import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DASHBOARDS, renderDashboard } from './src/dashboards/all-dashboards.ts';

/** Writes `dashboards/*.json` from `tools/src/dashboards`. */
const folder = join(import.meta.dirname, '..', 'dashboards');
mkdirSync(folder, { recursive: true });
for (const [name, build] of DASHBOARDS) writeFileSync(join(folder, name), renderDashboard(build));
console.log(`${DASHBOARDS.size} dashboards written to dashboards/`);
