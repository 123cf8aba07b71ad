import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { addTotals, closingLine, readProjectResults, type TestTotals } from './src/checks/collect-results.ts';
import { preparePart } from './src/real/prepare-part.ts';
import { chooseParts, REAL_PARTS } from './src/real/real-parts.ts';

const HELP = `Runs tests against real parts that need more than npm and apt: ${REAL_PARTS.map(({ name }) => name).join(', ')}.

  npm run test:real                             all parts; one that cannot be had is a failure
  npm run test:real -- --without NAME           leaves a part out (repeatable)
  npm run test:real -- --only NAME              one part (repeatable)

Parts are built once and kept in POINTSMAN_PARTS (~/.cache/pointsman/parts).`;

const root = join(import.meta.dirname, '..');
const project = { name: 'real', folder: 'apps/system-tests' };

/** Runs the part's test files with vitest; its report is read afterwards. */
async function runTests(files: readonly string[], env: Readonly<Record<string, string>>): Promise<TestTotals> {
  const folder = join(root, project.folder);
  rmSync(join(folder, 'test-results'), { recursive: true, force: true });
  const bin = join(root, 'node_modules', '.bin');
  const args = ['run', '--config', 'src/real/vitest.real.config.ts', ...files.map((file) => `src/real/${file}`)];
  const child = spawn(join(bin, 'vitest'), args, { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'], timeout: 10 * 60_000, env: { ...process.env, ...env, PATH: `${bin}:${process.env['PATH'] ?? ''}` } });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve).once('error', () => resolve(127)));
  const totals = readProjectResults(root, project);
  if (code === 0 || totals.failures.length > 0) return totals;
  return addTotals([totals, { passed: 0, skipped: 0, failures: [`vitest ended with ${code ?? 'a signal'} for ${files.join(', ')}`] }]);
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { without: { type: 'string', multiple: true, default: [] }, only: { type: 'string', multiple: true, default: [] }, help: { type: 'boolean', short: 'h', default: false } } });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const chosen = chooseParts(REAL_PARTS, values);
  const all: TestTotals[] = [];
  const ran: string[] = [];
  for (const [index, part] of chosen.entries()) {
    console.log(`\n[${index + 1}/${chosen.length}] ${part.name}: making it ready (at most ${part.limitMin} minutes)`);
    const prepared = await preparePart(part, join(root, 'tools', 'parts'));
    if ('problem' in prepared) {
      console.log(`${part.name} cannot be had: it ${prepared.problem}. Leave it out on purpose with --without ${part.name}.`);
      all.push({ passed: 0, skipped: 0, failures: [`${part.name}: ${prepared.problem}`] });
      if (process.exitCode === 130) return 130;
      continue;
    }
    all.push(await runTests(part.tests, prepared.env));
    ran.push(part.name);
  }
  let totals = addTotals(all);
  if (totals.passed === 0 && totals.failures.length === 0) totals = addTotals([totals, { passed: 0, skipped: 0, failures: ['no test ran'] }]);
  const leftOut = REAL_PARTS.filter(({ name }) => !ran.includes(name)).map(({ name }) => name);
  console.log(`\nReal parts that ran: ${ran.join(', ') || 'none'}${leftOut.length === 0 ? '' : `; that did not: ${leftOut.join(', ')}`}`);
  if (totals.failures.length > 0) console.log(`\nFailed:\n${totals.failures.map((failure) => `  ${failure}`).join('\n')}`);
  console.log(`\n${closingLine(totals)}`);
  return totals.failures.length > 0 ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
