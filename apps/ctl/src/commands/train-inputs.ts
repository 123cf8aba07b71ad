import { open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AppError } from '@pointsman/errors';
import { MANIFEST_FILE } from '@pointsman/model-artifacts';

/** What Python writes models and tensors into. */
const PYTHON_FILE = /\.(?:pkl|pickle|joblib|pt|pth|ckpt)$/i;

/** For the help of the commands that take files. */
export const LLMROUTER_HELP = `
Coming from LLMRouter: its trained routers (.pkl, .pt, .pth) are Python pickles, and loading one runs whatever code is in it, so Pointsman
never loads them; there is no switch for it. Train the same strategy from the same outcomes instead, which takes seconds to minutes:

  $ jq -cs 'group_by(.query)[] | {id: "\\(.[0].task_name)/\\(.[0].embedding_id)", prompt: .[0].query,
      scores: (map({(.model_name): .performance}) | add)}' default_routing_train_data.jsonl > outcomes.jsonl
  $ pointsman train --strategy knn --data outcomes.jsonl --out ./knn-router-v1`;

/**
 * Looks at data files before anything expensive begins.
 * Throws an AppError for one that cannot be read, or that is a Python model.
 */
export async function checkDataFiles(files: readonly string[]): Promise<void> {
  for (const file of files) {
    const kind = await reading(file, stat(file));
    if (kind.isDirectory()) throw new AppError('invalid_request', 'no_data_file', `${file} is a folder: name the files in it (${file}/*.jsonl.gz).`);
    await refusePython(file);
  }
}

/** Throws an AppError unless it is a folder with a `manifest.json`: with the reason, and what to do. */
export async function checkArtifact(directory: string): Promise<void> {
  const kind = await reading(directory, stat(directory));
  if (!kind.isDirectory()) {
    await refusePython(directory);
    throw new AppError('invalid_request', 'no_artifact', `${directory} is a file: an artifact is the folder that "pointsman train" writes.`);
  }
  const names = await reading(directory, readdir(directory));
  if (names.includes(MANIFEST_FILE)) return;
  const python = names.find((name) => PYTHON_FILE.test(name));
  if (python !== undefined) throw pythonRefused(join(directory, python));
  throw new AppError('not_found', 'no_artifact', `${directory} holds no ${MANIFEST_FILE}: an artifact is the folder that "pointsman train" writes.`);
}

/** The text of a file that an option names. Throws an AppError that names the file and never shows its content. */
export async function readOptionFile(file: string): Promise<string> {
  return reading(file, readFile(file, 'utf8'));
}

async function refusePython(file: string): Promise<void> {
  if (PYTHON_FILE.test(file)) throw pythonRefused(file);
  await using handle = await reading(file, open(file));
  const { buffer, bytesRead } = await reading(file, handle.read(Buffer.alloc(4), 0, 4, 0));
  if (bytesRead < 2) return;
  // A pickle of protocol 2 to 5 begins with PROTO and its number; torch.save writes a zip around one.
  const isPickle = buffer[0] === 0x80 && buffer[1]! >= 2 && buffer[1]! <= 5;
  if (isPickle || buffer.toString('latin1') === 'PK\x03\x04') throw pythonRefused(file);
}

function pythonRefused(file: string): AppError {
  return new AppError('invalid_request', 'python_model', `${file} is a Python pickle or PyTorch file. Loading one runs whatever code is in it, so Pointsman never does. `
    + 'Train the same strategy again from the outcomes that LLMRouter was trained with (JSON Lines): "pointsman train --help" shows the two commands.');
}

async function reading<T>(path: string, promise: Promise<T>): Promise<T> {
  return promise.catch((error: unknown) => {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    throw new AppError('not_found', 'file_unreadable', `cannot read ${path} (${code})`, { cause: error });
  });
}
