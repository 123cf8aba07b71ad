import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { checkChart } from './src/manifests/check-chart.ts';
import { unknownFields } from './src/manifests/check-fields.ts';
import { checkCompose } from './src/manifests/check-compose.ts';
import { checkOverlay, kustomizations, loadClusterApps } from './src/manifests/check-overlay.ts';
import { generatedFileProblems, writeGeneratedFiles } from './src/manifests/generated-files.ts';
import { describeProblem, type KubeObject } from './src/manifests/kube-object.ts';

const HELP = `Checks deploy/ with the programs that will read it and against the code that it starts.

  node tools/check-manifests.ts            every overlay, and every component on the base, rendered and checked; generated files compared with their sources
  node tools/check-manifests.ts --write    first writes the generated files again (Helm chart, PrometheusRule, collector configurations)`;

const root = join(import.meta.dirname, '..');
try {
  const { values } = parseArgs({ options: { write: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h', default: false } } });
  if (values.help) console.log(HELP);
  else {
    if (values.write) await writeGeneratedFiles(root);
    const apps = await loadClusterApps(root);
    const problems: string[] = [];
    const rendered = new Map<string, readonly KubeObject[]>();
    for (const source of await kustomizations(root)) {
      const checked = await checkOverlay(root, source, apps);
      rendered.set(source, checked.objects);
      problems.push(...checked.problems.map(describeProblem));
      console.log(`deploy/${source}: ${checked.objects.length} objects`);
    }
    problems.push(...unknownFields(root, rendered).map(describeProblem), ...await generatedFileProblems(root), ...await checkChart(root), ...await checkCompose(root, apps));
    for (const problem of problems) console.error(problem);
    process.exitCode = problems.length > 0 ? 1 : 0;
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
