import { writeFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { markdownTable } from 'markdown-table';
import { measureModelSwap } from './measure-model-swap.ts';
import { measurePropagation } from './measure-propagation.ts';
import { measureReload } from './measure-reload.ts';

const reportFile = fileURLToPath(new URL('../../../../docs/benchmarks-sync.md', import.meta.url));
const MEGABYTE = 1024 * 1024;
const ms = (value: number): string => (value >= 10_000 ? `${(value / 1000).toFixed(1)} s` : `${String(Math.round(value))} ms`);
const megabytes = (bytes: number): string => `${String(Math.round(bytes / MEGABYTE))} MB`;

const program = new Command('bench:sync')
  .description('Measures how configurations and models propagate: a reload of 500 deployments, a 500 MB model under load, 50 replicas.')
  .option('--write', 'write docs/benchmarks-sync.md', false)
  .option('--replicas <n>', 'config-sync processes', '50')
  .option('--with-gateway <n>', 'of which have a gateway', '4')
  .option('--model-mb <n>', 'size of the model', '500')
  .parse();
const options = program.opts<{ write: boolean; replicas: string; withGateway: string; modelMb: string }>();

console.error('reload of 500 deployments');
const reload = await measureReload({ deployments: 500, rounds: 7 });
console.error('model swap');
const swap = await measureModelSwap({ modelBytes: Number(options.modelMb) * MEGABYTE, requestsPerSecond: 100, quietMs: 10_000 });
console.error('propagation');
const propagation = await measurePropagation({ replicas: Number(options.replicas), withGateway: Number(options.withGateway), intervalMs: 5_000, rounds: 3 });

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;
const rows = [
  ['what', 'measured', 'limit'],
  ['SIGHUP to a new configuration of 500 deployments served', `median ${ms(median(reload.tookMs))}, slowest ${ms(Math.max(...reload.tookMs))} of ${String(reload.tookMs.length)}`, '1 s'],
  [`model of ${megabytes(swap.modelBytes)}: rename to served, self-test in a child included`, ms(swap.servedMs), '5 s'],
  ['requests that failed meanwhile, at 100 a second', String(swap.failed), '0'],
  ['P99 of requests in the 10 s of the swap against the 10 s before', `${swap.p99DuringMs.toFixed(1)} ms / ${swap.p99BeforeMs.toFixed(1)} ms = ${(swap.p99DuringMs / swap.p99BeforeMs).toFixed(2)}`, '1.5'],
  ['resident memory of gateway and child: before, most during', `${megabytes(swap.rssBefore)}, ${megabytes(swap.rssPeak)}: + ${((swap.rssPeak - swap.rssBefore) / swap.modelBytes).toFixed(2)} × model`, '2 × model'],
  [`upload to served by the slowest of ${String(propagation.replicas)} replicas (${String(propagation.withGateway)} proven by a gateway), polling every ${ms(propagation.intervalMs)}`, `${propagation.slowestMs.map(ms).join(', ')}: ${(Math.max(...propagation.slowestMs) / propagation.intervalMs).toFixed(2)} × interval`, '2 × interval'],
];
const table = markdownTable(rows);
console.log(table);
if (options.write) {
  await writeFile(reportFile, `# Benchmarks: configurations and models that propagate

\`npm run bench:sync -- --write\`, on ${String(cpus().length)} cores of ${cpus()[0]?.model ?? 'an unknown processor'} that other work shares: wall times are upper bounds.

${table}

The model is one large table of n-gram weights, which the gateway maps instead of copying. Replicas that are not
proven by a real gateway stand beside a small process that plays one, and count when they have published. Clients, gateway, store and sidecars share the machine: what is measured contains the load itself.
`);
  console.log('Wrote docs/benchmarks-sync.md.');
}
