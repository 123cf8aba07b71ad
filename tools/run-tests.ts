import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { addTotals, closingLine, readProjectResults, type TestTotals } from './src/checks/collect-results.ts';
import { ensureDebianParts } from './src/checks/debian-parts.ts';
import { readProjects } from './src/checks/projects.ts';
import { runNx } from './src/checks/run-nx.ts';

const HELP = `Runs everything that guards this repository: lint, types, unit and system tests.

  npm test                              all of it
  npm test -- --only unit               one part: lint, typecheck, unit, system (repeatable)
  npm test -- --project gateway         one project's tests (repeatable)

Results of unchanged projects come from Nx's cache; \`npx nx reset\` empties it.`;

const root = join(import.meta.dirname, '..');
/** Parts as people call them, and the Nx target of each, in the order they run. */
const PARTS: ReadonlyMap<string, string> = new Map([['lint', 'lint'], ['typecheck', 'typecheck'], ['unit', 'test'], ['system', 'system-test']]);

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { only: { type: 'string', multiple: true }, project: { type: 'string', multiple: true }, help: { type: 'boolean', short: 'h', default: false } } });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const parts = values.only ?? (values.project === undefined ? [...PARTS.keys()] : ['unit', 'system']);
  const unknownPart = parts.find((part) => !PARTS.has(part));
  if (unknownPart !== undefined) throw new Error(`There is no part ${unknownPart}: choose from ${[...PARTS.keys()].join(', ')}.`);
  const projects = readProjects(root);
  const chosen = values.project?.map((name) => {
    const found = projects.find((project) => project.name === name || project.name === `@pointsman/${name}`);
    if (found === undefined) throw new Error(`There is no project ${name}: choose from ${projects.map((project) => project.name.replace('@pointsman/', '')).join(', ')}.`);
    return found;
  }) ?? projects;
  const targets = parts.flatMap((part) => PARTS.get(part) ?? []);
  const tested = chosen.filter((project) => project.targets.some((target) => (target === 'test' || target === 'system-test') && targets.includes(target)));

  if (tested.length > 0) await ensureDebianParts((text) => console.log(text));
  // An old report must never count: Nx puts a cached one back itself.
  for (const { folder } of tested) rmSync(join(root, folder, 'test-results'), { recursive: true, force: true });
  const selection = values.project === undefined ? [] : ['--projects', chosen.map(({ name }) => name).join(',')];
  const nx = await runNx(root, ['run-many', '--targets', targets.join(','), '--outputStyle=static', ...selection]);

  const results = tested.map((project) => readProjectResults(root, project));
  // What failed besides tests: lint, types, a test run that broke off although every test in its report passed.
  const failedBesides = nx.failedTasks.filter((task) => !tested.some(({ name }, index) => task.startsWith(`${name}:`) && (results[index]?.failures.length ?? 0) > 0));
  let totals: TestTotals = addTotals([...results, { passed: 0, skipped: 0, failures: failedBesides.map((task) => `${task} failed`) }]);
  if (nx.code !== 0 && totals.failures.length === 0) totals = addTotals([totals, { passed: 0, skipped: 0, failures: [`nx run-many ended with exit code ${nx.code}`] }]);
  const wantsTests = targets.includes('test') || targets.includes('system-test');
  if (wantsTests && totals.passed === 0 && totals.failures.length === 0) totals = addTotals([totals, { passed: 0, skipped: 0, failures: ['no test ran'] }]);

  if (totals.failures.length > 0) console.log(`\nFailed:\n${totals.failures.map((failure) => `  ${failure}`).join('\n')}`);
  console.log(`\n${closingLine(totals)}`);
  return totals.failures.length > 0 ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  console.log('\n0 passed, 1 failed, 0 skipped');
  process.exitCode = 1;
}
