import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { temporaryDirectory } from '@pointsman/testing';
import { expect, test } from 'vitest';
import { addTotals, closingLine, readProjectResults } from './collect-results.ts';
import { failedTasksIn } from './run-nx.ts';

const project = { name: '@pointsman/x', folder: 'libs/x' };

async function reports(root: string, ...files: unknown[]): Promise<void> {
  await mkdir(join(root, 'libs/x/test-results'), { recursive: true });
  await Promise.all(files.map((file, index) => writeFile(join(root, `libs/x/test-results/${index}.json`), typeof file === 'string' ? file : JSON.stringify(file))));
}

test('tests are counted over all reports of a project and failures are named', async () => {
  await using root = await temporaryDirectory();
  const one = (fullName: string, status: string) => ({ fullName, status });
  await reports(root.path,
    { testResults: [{ name: '/a/src/a.test.ts', status: 'failed', assertionResults: [one('a works', 'passed'), one('a breaks', 'failed'), one('a later', 'pending')] }] },
    { testResults: [{ name: '/a/src/b.test.ts', status: 'passed', assertionResults: [one('b works', 'passed')] }] });
  const totals = readProjectResults(root.path, project);
  expect(totals).toEqual({ passed: 2, skipped: 1, failures: ['@pointsman/x: a breaks'] });
  expect(closingLine(addTotals([totals, totals]))).toBe('4 passed, 2 failed, 2 skipped');
});

test('a file that does not load, a broken report and a missing one are failures', async () => {
  await using root = await temporaryDirectory();
  expect(readProjectResults(root.path, project).failures).toEqual(['@pointsman/x: no test report; its tests did not run to the end']);
  await reports(root.path, { testResults: [{ name: '/a/src/a.test.ts', status: 'failed', assertionResults: [] }] }, '{');
  expect(readProjectResults(root.path, project).failures).toEqual(['@pointsman/x: src/a.test.ts could not run', expect.stringContaining('unreadable test report')]);
});

test('the failed tasks that Nx lists are found among its colours', () => {
  const output = '\n———\n\u001b[31m NX \u001b[39m  Ran targets lint, test for 3 projects\n\n\u001b[2m✔\u001b[22m  2/4 succeeded\n\n✖  2/4 targets failed, including the following:\n\n   Failed tasks:\n\n   - pointsman:lint\n   - @pointsman/errors:test\n\n';
  expect(failedTasksIn(output)).toEqual(['pointsman:lint', '@pointsman/errors:test']);
  expect(failedTasksIn('all well')).toEqual([]);
});
