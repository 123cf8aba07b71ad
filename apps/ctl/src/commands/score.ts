import { randomUUID } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { AppError } from '@pointsman/errors';
import type { AddCommand, CommandContext } from '../command-context.ts';
import { plural, showMs } from '../quantities.ts';
import { checkArtifact, checkDataFiles, LLMROUTER_HELP } from './train-inputs.ts';

interface Options {
  readonly artifact: string;
  readonly data: string;
  readonly out: string;
  readonly minilmDir?: string;
  readonly json?: true;
}

/** Rows between two lines where there is no terminal. */
const ROWS_PER_LINE = 10_000;

const HELP = `
Writes one JSON line per row, in the order of the data:
  {"id": "q1", "scores": {"small": 0.41, "large": 0.87}, "latency_us": 96.2}
The scores are predicted qualities, made by the code that decides in the gateway; price is not in them. The latency is features and head.
Outcomes in the data are not looked at. A verifier (automix) is shown the row's {model}_response.
${LLMROUTER_HELP}

Examples:
  $ pointsman score --artifact ./knn-router-v1 --data questions.jsonl.gz --out scores.jsonl
  $ pointsman score --artifact ./knn-router-v1 --data questions.jsonl.gz --out scores.jsonl --json`;

/** `pointsman score` */
export const addScore: AddCommand = (program, context) => {
  program.command('score').summary('what a router model predicts for prompts').description('Predicts the quality of every candidate for each prompt of a file, as a gateway would.')
    .requiredOption('--artifact <directory>', 'the folder with manifest.json')
    .requiredOption('--data <file>', 'JSON Lines with id and prompt, gzipped or plain')
    .requiredOption('--out <file>', 'where the scores go; replaced when all are there')
    .option('--minilm-dir <directory>', 'for a model of the embedder minilm: the folder with its model.onnx and vocab.txt')
    .option('--json', 'one JSON object instead of text')
    .addHelpText('after', HELP)
    .action((options: Options) => score(options, context));
};

async function score({ artifact, data, out, minilmDir, json }: Options, { print, printError, draw }: CommandContext): Promise<void> {
  await checkArtifact(artifact);
  await checkDataFiles([data]);
  const partial = `${out}.${randomUUID()}.partial`;
  await writing(out, open(partial, 'wx').then((handle) => handle.close()));
  try {
    const { scoreArtifact } = await import('@pointsman/router-training');
    const started = performance.now();
    const { rows } = await scoreArtifact({
      artifact, dataFile: data, outFile: partial, minilmDirectory: minilmDir,
      progress(done) {
        if (json === true) return;
        if (draw !== undefined) draw(`scored ${plural(done, 'row')}`);
        else if (done > 0 && done % ROWS_PER_LINE === 0) printError(`scored ${plural(done, 'row')} …`);
      },
    });
    await writing(out, rename(partial, out));
    const ms = performance.now() - started;
    print(json === true ? JSON.stringify({ artifact, data, out, rows, duration_s: Number((ms / 1000).toFixed(3)) }, undefined, 2) : `Scored ${plural(rows, 'row')} of ${data} in ${showMs(ms)}: ${out}`);
  } finally {
    await rm(partial, { force: true });
  }
}

async function writing(path: string, promise: Promise<void>): Promise<void> {
  return promise.catch((error: unknown) => {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    throw new AppError('conflict', 'file_not_written', `cannot write ${path} (${code})`, { cause: error });
  });
}
