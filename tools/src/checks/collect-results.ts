import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface TestTotals {
  readonly passed: number;
  readonly skipped: number;
  /** What failed, each as a line a person can look for. */
  readonly failures: readonly string[];
}

interface VitestReport {
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message?: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

/** The totals of one project from the JSON reports vitest left in `test-results`. A project that left none has failed. */
export function readProjectResults(root: string, project: { readonly name: string; readonly folder: string }): TestTotals {
  const folder = join(root, project.folder, 'test-results');
  const files = existsSync(folder) ? globSync('*.json', { cwd: folder }) : [];
  if (files.length === 0) return { passed: 0, skipped: 0, failures: [`${project.name}: no test report; its tests did not run to the end`] };
  return addTotals(files.map((file) => readReport(join(folder, file), project.name)));
}

function readReport(file: string, project: string): TestTotals {
  let report: VitestReport;
  try {
    report = JSON.parse(readFileSync(file, 'utf8')) as VitestReport;
  } catch {
    return { passed: 0, skipped: 0, failures: [`${project}: unreadable test report ${file}`] };
  }
  const tests = report.testResults.flatMap(({ assertionResults }) => assertionResults);
  const failures = tests.filter(({ status }) => status === 'failed').map(({ fullName }) => `${project}: ${fullName}`);
  // A file that does not load, or whose hooks fail, has no failed test of its own.
  for (const { name, status, assertionResults } of report.testResults) {
    if (status === 'failed' && !assertionResults.some((one) => one.status === 'failed')) failures.push(`${project}: ${name.split('/').slice(-2).join('/')} could not run`);
  }
  const passed = tests.filter(({ status }) => status === 'passed').length;
  return { passed, skipped: tests.length - passed - tests.filter(({ status }) => status === 'failed').length, failures };
}

export function addTotals(totals: readonly TestTotals[]): TestTotals {
  return {
    passed: totals.reduce((sum, { passed }) => sum + passed, 0),
    skipped: totals.reduce((sum, { skipped }) => sum + skipped, 0),
    failures: totals.flatMap(({ failures }) => failures),
  };
}

/** The closing line that people and machines look for. */
export function closingLine({ passed, skipped, failures }: TestTotals): string {
  return `${passed} passed, ${failures.length} failed, ${skipped} skipped`;
}
