import { mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import cliProgress from 'cli-progress';
import { describeUnknown } from '@pointsman/errors';
import type { Contestant } from './contestants/contestant.ts';
import { contestants } from './contestants/registry.ts';
import { type Arena, startArena } from './measure/arena.ts';
import { chooseCores } from './measure/cores.ts';
import { runLedger } from './measure/run-ledger.ts';
import { type MemoryGrowth, runMemory } from './measure/run-memory.ts';
import { type ProfileRun, runProfile } from './measure/run-profile.ts';
import { type Entrant, type Figures, runRounds, sliceCount } from './measure/run-rounds.ts';
import { takeTurn } from './measure/take-turn.ts';
import type { BenchOptions } from './options.ts';
import { machineFacts } from './report/machine-facts.ts';
import { markdownReport } from './report/markdown-report.ts';
import { ledgerLine } from './report/figure-rows.ts';
import { memoryReport, profileReport, terminalReport } from './report/terminal-report.ts';

const memoryMarks: Readonly<Record<string, readonly number[]>> = { bare: [20_000, 200_000], pointsman: [20_000, 200_000], 'pointsman-state': [20_000, 200_000, 500_000] };
const reportFile = fileURLToPath(new URL('../../../docs/benchmarks.md', import.meta.url));

/** Runs what the options ask for and prints it. Resolves to the exit code: 1 when a contestant gave a wrong reply or none could be measured. */
export async function runBench(options: BenchOptions): Promise<number> {
  const cores = chooseCores();
  const machine = machineFacts();
  const chosen = contestants.filter(({ name }) => options.only.includes(name));
  const absent: { name: string; reason: string }[] = [];
  console.log(`${machine.cores} cores, Node ${machine.nodeVersion}; contestant on core ${cores.contestant ?? 'any'}, load on core ${cores.load ?? 'any'}.`);
  const available = await prepareAll(chosen, absent);

  await using _turn = await takeTurn({ onWait: () => console.log('Another bench runs on this machine; waiting for its end.') });
  const arena = await startArena({ cores, chunkIntervalMs: options.chunkIntervalMs });
  const interrupted = (signal: NodeJS.Signals): void => {
    const end = (): never => process.exit(signal === 'SIGINT' ? 130 : 143);
    arena[Symbol.asyncDispose]().then(end, end);
  };
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  try {
    const measured = options.measure ? await measure(arena, available, { options, absent }) : { figures: [], spanBytesPerRequest: undefined };
    if (options.measure) console.log(terminalReport(measured.figures));
    for (const { name, reason } of absent) console.log(`${name} did not take part: ${reason}`);
    const profiles = options.profile ? await profileAll(arena, available, options) : [];
    const memory = options.memory ? await memoryAll(arena, available) : [];
    if (memory.length > 0) console.log(memoryReport(memory));
    const ledger = options.ledger ? await runLedger((text) => console.log(text)) : undefined;
    if (ledger !== undefined) console.log(ledgerLine(ledger));

    if (options.jsonFile !== undefined) {
      await writeFile(options.jsonFile, `${JSON.stringify({ machine, options, ...measured, memory, ledger, absent, profiles }, undefined, 2)}\n`);
    }
    if (options.write) {
      await mkdir(new URL('.', `file://${reportFile}`), { recursive: true });
      await writeFile(reportFile, markdownReport({
        ...measured,
        machine,
        memory,
        ledger,
        absent,
        command: ['npm run bench', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' '),
        day: new Date().toISOString().slice(0, 10),
        rounds: options.rounds,
        chunkIntervalMs: options.chunkIntervalMs,
        pinned: cores.contestant !== undefined,
        contestants: available,
      }));
      console.log('Wrote docs/benchmarks.md.');
    }
    return measured.figures.some(({ failed }) => failed > 0) || available.length === 0 ? 1 : 0;
  } finally {
    await arena[Symbol.asyncDispose]();
  }
}

async function prepareAll(chosen: readonly Contestant[], absent: { name: string; reason: string }[]): Promise<readonly Contestant[]> {
  const available: Contestant[] = [];
  for (const contestant of chosen) {
    try {
      await contestant.prepare((text) => console.log(`${contestant.name}: ${text}`));
      available.push(contestant);
    } catch (error) {
      absent.push({ name: contestant.name, reason: describeUnknown(error) });
    }
  }
  return available;
}

async function measure(
  arena: Arena,
  available: readonly Contestant[],
  { options, absent }: { readonly options: BenchOptions; readonly absent: { name: string; reason: string }[] },
): Promise<{ readonly figures: readonly Figures[]; readonly spanBytesPerRequest: number | undefined }> {
  const entrants: Entrant[] = [];
  for (const contestant of available) {
    try {
      entrants.push({ contestant, running: await arena.start(contestant) });
    } catch (error) {
      absent.push({ name: contestant.name, reason: describeUnknown(error) });
    }
  }
  const bar = new cliProgress.SingleBar({ format: '{bar} {value}/{total} {what}', clearOnComplete: true, hideCursor: true, noTTYOutput: false }, cliProgress.Presets.shades_classic);
  bar.start(sliceCount(options, entrants.length), 0, { what: '' });
  const figures = await runRounds(arena, entrants, { ...options, onSlice: (what) => bar.increment(1, { what }) });
  bar.stop();
  // All requests of the exporting row, warm-up included, brought these bytes.
  const exported = figures.filter(({ contestant }) => contestant === 'pointsman').reduce((sum, { requests }) => sum + requests, 0) * ((options.rounds + 1) / options.rounds);
  const spanBytesPerRequest = exported > 0 ? (await arena.spanBytes()) / exported : undefined;
  await Promise.all(entrants.map(({ running }) => running.stop()));
  return { figures, spanBytesPerRequest };
}

async function profileAll(arena: Arena, available: readonly Contestant[], options: BenchOptions): Promise<readonly ProfileRun[]> {
  const runs: ProfileRun[] = [];
  if (options.profileDirectory !== undefined) await mkdir(options.profileDirectory, { recursive: true });
  for (const contestant of available.filter(({ name }) => profiled(name, options))) {
    for (const scenario of options.scenarios) {
      try {
        const run = await runProfile(arena, contestant, { scenario, scale: options.scale, keepIn: options.profileDirectory });
        runs.push(run);
        console.log(profileReport(run, options.top));
      } catch (error) {
        console.log(`No profile of ${contestant.name}, ${scenario}: ${describeUnknown(error)}`);
      }
    }
  }
  return runs;
}

/** Only Node programs have such profiles; without `--only` the one of interest is ours. */
function profiled(name: string, { only, quick }: BenchOptions): boolean {
  if (name === 'pointsman') return true;
  return !quick && only.length < contestants.length && ['bare', 'bare-pipeline', 'pointsman-no-otlp', 'pointsman-state', 'portkey'].includes(name);
}

async function memoryAll(arena: Arena, available: readonly Contestant[]): Promise<readonly MemoryGrowth[]> {
  const growths: MemoryGrowth[] = [];
  for (const contestant of available) {
    const marks = memoryMarks[contestant.name];
    if (marks === undefined) continue;
    const bar = new cliProgress.SingleBar({ format: '{bar} {value}/{total} {what}', clearOnComplete: true, hideCursor: true }, cliProgress.Presets.shades_classic);
    bar.start(marks.at(-1) ?? 0, 0, { what: '' });
    try {
      growths.push(await runMemory(arena, contestant, { marks, onStep: (what) => bar.increment(10_000, { what }) }));
    } catch (error) {
      console.log(`No memory figures of ${contestant.name}: ${describeUnknown(error)}`);
    }
    bar.stop();
  }
  return growths;
}
