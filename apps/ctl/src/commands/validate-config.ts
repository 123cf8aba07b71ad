import { readFile } from 'node:fs/promises';
import { parseEnv } from 'node:util';
import { readConfigFiles, type ConfigProblem } from '@pointsman/gateway-config';
import { Option } from 'commander';
import { checkConfig, readingFile, type ConfigCheck } from '../check-config.ts';
import type { AddCommand, CommandContext } from '../command-context.ts';
import { formatTable } from '../format-table.ts';

interface Options {
  readonly json?: true;
  readonly strict?: true;
  readonly candidates?: string;
  readonly degradedMode?: string;
  readonly envFile?: string;
  readonly expectEnv?: true;
}

interface Report extends ConfigCheck {
  readonly file: string;
}

const HELP = `
Reads the file exactly as the gateway does at start and at reload, with the files that it includes; nothing is called.

  refused   the gateway would not take the file: what is wrong, where, and the nearest known key
  ignored   LiteLLM knows the key, Pointsman does not act on it
  noted     accepted, but worth a look: variables that are not set, models that cannot be served, …
  honoured  acted on

Exit code 0: accepted; 1: refused (with --strict: or anything ignored or noted).

Examples:
  $ pointsman validate-config config.yaml
  $ pointsman validate-config config.yaml --env-file .env --candidates llm_candidates.json
  $ pointsman validate-config config.yaml --expect-env --strict --json    # in CI, far from the secrets`;

/** `pointsman validate-config FILE` */
export const addValidateConfig: AddCommand = (program, context) => {
  program.command('validate-config')
    .summary('tell what of a LiteLLM config.yaml is honoured, ignored and refused')
    .description('Tells what of a LiteLLM config.yaml is honoured, ignored and refused.')
    .argument('<file>', 'the config.yaml')
    .option('--json', 'one JSON object instead of tables')
    .option('--candidates <file>', 'check this llm_candidates.json too')
    .option('--degraded-mode <file>', 'check this degraded-mode.yaml too')
    .addOption(new Option('--env-file <file>', 'variables for os.environ/NAME, over those of the environment').conflicts('expectEnv'))
    .option('--expect-env', 'take variables that are not set here for set where the gateway runs')
    .option('--strict', 'fail on whatever is ignored or noted, too')
    .addHelpText('after', HELP)
    .action(async (file: string, options: Options) => {
      const report = await validate(file, options, context);
      context.print(options.json === true ? asJson(report) : asText(report, context.columns));
      if (report.problems.length > 0 || (options.strict === true && report.warnings.length > 0)) context.fail(1);
    });
};

async function validate(file: string, options: Options, { env }: CommandContext): Promise<Report> {
  const text = async (path: string): Promise<string> => await readingFile(path, readFile(path, 'utf8'));
  const files = await readingFile(file, readConfigFiles(file, async (path) => await readFile(path, 'utf8')));
  const candidates = options.candidates === undefined ? undefined : await text(options.candidates);
  const fileEnv = options.envFile === undefined ? {} : parseEnv(await text(options.envFile));
  const degradedMode = options.degradedMode === undefined ? undefined : { path: options.degradedMode, text: await text(options.degradedMode) };
  return { file, ...checkConfig({ files, candidates, degradedMode, env: { ...env, ...fileEnv }, expectEnv: options.expectEnv === true }) };
}

function asJson({ file, parsed, problems, warnings }: Report): string {
  return JSON.stringify({
    file,
    accepted: problems.length === 0,
    ...(parsed === undefined ? {} : { revision: parsed.config.revision, models: parsed.config.models.map(({ group, id, provider, model }) => ({ group, id, provider, model })) }),
    refused: problems,
    ignored: warnings.filter((warning) => warning.ignored === true),
    noted: warnings.filter((warning) => warning.ignored !== true),
    honoured: parsed?.honoured ?? [],
  }, undefined, 2);
}

function asText({ file, parsed, problems, warnings }: Report, columns: number | undefined): string {
  const ignored = warnings.filter((warning) => warning.ignored === true);
  const noted = warnings.filter((warning) => warning.ignored !== true);
  const honoured = [...countBy(parsed?.honoured ?? [], withoutPositions)];
  const parts = [
    section('Refused', problems.length, problems.map((problem) => line(problem, problem.path)), columns),
    section('Ignored', ignored.length, collapsed(ignored), columns),
    section('Noted', noted.length, collapsed(noted), columns),
    section('Honoured', parsed?.honoured.length ?? 0, honoured.map(([key, count]) => [key, count > 1 ? `× ${String(count)}` : '']), columns),
    parsed !== undefined && problems.length === 0
      ? `${file} is accepted: revision ${parsed.config.revision}, ${plural(parsed.config.models.length, 'deployment')} in ${plural(new Set(parsed.config.models.map(({ group }) => group)).size, 'group')}.`
      : `${file} is refused: ${plural(problems.length, 'problem')}.`,
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

function section(title: string, count: number, rows: readonly (readonly string[])[], columns: number | undefined): string {
  return rows.length === 0 ? '' : `${title} (${String(count)})\n${formatTable(rows, columns)}`;
}

/** The same warning about the same key of many entries is one line. */
function collapsed(warnings: readonly ConfigProblem[]): readonly (readonly string[])[] {
  const counts = countBy(warnings, (warning) => `${withoutPositions(warning.path)}\n${warning.message}`);
  const seen = new Set<string>();
  return warnings.flatMap((warning) => {
    const key = `${withoutPositions(warning.path)}\n${warning.message}`;
    if (seen.has(key)) return [];
    seen.add(key);
    const count = counts.get(key) ?? 1;
    return [line(warning, count > 1 ? `${withoutPositions(warning.path)} × ${String(count)}` : warning.path)];
  });
}

function line(problem: ConfigProblem, path: string): readonly string[] {
  const place = problem.line === undefined ? (problem.file ?? '') : `${problem.file ?? ''}:${String(problem.line)}:${String(problem.column ?? 1)}`;
  return [place, path === '' ? '(file)' : path, `${problem.message}${problem.suggestion === undefined ? '' : `; did you mean ${problem.suggestion}?`}`];
}

function countBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const item of items) counts.set(keyOf(item), (counts.get(keyOf(item)) ?? 0) + 1);
  return counts;
}

function withoutPositions(path: string): string {
  return path.replaceAll(/\[\d+\]/g, '[]');
}

function plural(count: number, noun: string): string {
  return `${String(count)} ${noun}${count === 1 ? '' : 's'}`;
}
