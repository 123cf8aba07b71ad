import { spawn, type ChildProcess } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { constants, setPriority } from 'node:os';
import { delimiter, dirname, extname } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { describeUnknown } from '@pointsman/errors';
import { isModelRefusal, ModelRefusedError } from './model-refused-error.ts';
import { residentBytes } from './resident-memory.ts';
import { VERDICT_DESCRIPTOR, type ExpectedArtifact, type SelfTestFigures, type SelfTestRequest } from './self-test-messages.ts';

export interface SelfTestOptions {
  /** Of the head's file, bytes. */
  readonly maxBytes: number;
  /** Most memory that the child may have, all of it counted (Node and onnxruntime alone take about 150 MB). */
  readonly memoryLimitBytes: number;
  readonly timeoutMs: number;
  /** Every file is held to the manifest's digests before it is opened; a large head takes a second of processor time, which is the child's. */
  readonly intact?: ExpectedArtifact | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Given to `createFeatureExtractor` beside the embedder's name: directories of embedder files. */
  readonly extractorOptions?: Readonly<Record<string, unknown>> | undefined;
  /** URL of a module with another `createFeatureExtractor`; for tests. */
  readonly extractorModule?: string | undefined;
  /** Path of another program in the child's place; for tests. */
  readonly entry?: string | undefined;
}

const POLL_MS = 20;
const MAX_VERDICT_BYTES = 64 * 1024;
const KEPT_STDERR_BYTES = 2 * 1024;

/**
 * Runs an artifact in a child process before the gateway loads it: inspects and loads the head, makes the features of every golden prompt and compares the scores.
 * A model that crashes, hangs or eats memory takes the child down and is refused. The child has no secrets in its environment, a low priority, is the first to go
 * when memory runs out, and is gone when this settles. Its memory is watched through `/proc`; on systems without it only the peak it reports itself counts.
 * @throws ModelRefusedError with the reason; the signal's reason when it was stopped
 */
export async function selfTestArtifact(directory: string, options: SelfTestOptions): Promise<SelfTestFigures> {
  const { signal, timeoutMs, memoryLimitBytes, maxBytes, intact, extractorOptions = {}, extractorModule = besideThis('../features/create-feature-extractor').href } = options;
  signal?.throwIfAborted();
  const child = spawn(process.execPath, [options.entry ?? fileURLToPath(besideThis('./self-test-child'))], {
    stdio: ['pipe', 'ignore', 'pipe', 'pipe'], cwd: '/', env: { PATH: `${dirname(process.execPath)}${delimiter}/usr/bin${delimiter}/bin` },
  });
  const ended = new Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>((resolve) => {
    child.once('close', (code, by) => resolve({ code, signal: by }));
  });
  const stop = new AbortController();
  try {
    lowerChild(child);
    const request: SelfTestRequest = { directory, maxBytes, intact, extractorModule, extractorOptions };
    // A child that is gone before it has read its question says why by its end, not by a broken pipe here.
    child.stdin?.on('error', () => undefined);
    child.stdin?.write(`${JSON.stringify(request)}\n`);
    const stderr = keepTail(child.stderr);
    const figures = await Promise.race([
      verdictOf(child.stdio[VERDICT_DESCRIPTOR] as Readable),
      ended.then((end) => { throw crashed(end, stderr()); }),
      watched(child, { memoryLimitBytes, timeoutMs, signal }, stop.signal),
    ]);
    if (figures.peakBytes > memoryLimitBytes) throw tooMuchMemory(memoryLimitBytes);
    return figures;
  } finally {
    stop.abort();
    child.kill('SIGKILL');
    await ended;
  }
}

function besideThis(path: string): URL {
  return new URL(`${path}${extname(import.meta.url)}`, import.meta.url);
}

/** The child yields to whoever serves: for the processor, and when the kernel has to choose a victim. */
function lowerChild({ pid }: ChildProcess): void {
  if (pid === undefined) return;
  try {
    setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // It has ended already, or the system forbids it: the test is as good at a normal priority.
  }
  writeFile(`/proc/${pid}/oom_score_adj`, '1000').catch(() => undefined);
}

interface WatchLimits {
  readonly memoryLimitBytes: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/** Rejects when a limit is passed; never resolves. */
function watched(child: ChildProcess, { memoryLimitBytes, timeoutMs, signal }: WatchLimits, stop: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    child.once('error', (error) => reject(new ModelRefusedError('crashed', `The self-test could not be started: ${describeUnknown(error)}`, error)));
    const poll = setInterval(() => {
      if (child.pid !== undefined && (residentBytes(child.pid) ?? 0) > memoryLimitBytes) reject(tooMuchMemory(memoryLimitBytes));
    }, POLL_MS);
    const timer = setTimeout(() => reject(new ModelRefusedError('timeout', `The self-test did not finish within ${timeoutMs / 1000} s.`)), timeoutMs);
    const abort = (): void => reject(signal?.reason instanceof Error ? signal.reason : new Error('The self-test was stopped.'));
    signal?.addEventListener('abort', abort, { once: true });
    stop.addEventListener('abort', () => {
      clearInterval(poll);
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    }, { once: true });
  });
}

function tooMuchMemory(limitBytes: number): ModelRefusedError {
  return new ModelRefusedError('memory_exceeded', `The model took more than ${Math.round(limitBytes / 1024 / 1024)} MiB in its self-test.`);
}

function crashed({ code, signal }: { readonly code: number | null; readonly signal: NodeJS.Signals | null }, stderr: string): ModelRefusedError {
  return new ModelRefusedError('crashed', `The model ended its self-test with ${signal === null ? `exit code ${String(code)}` : signal}.`, stderr === '' ? undefined : stderr);
}

/** Never settles for a child that ends without a whole line: its end tells why. */
function verdictOf(pipe: Readable): Promise<SelfTestFigures> {
  return new Promise((resolve, reject) => {
    let text = '';
    pipe.setEncoding('utf8');
    pipe.on('error', () => undefined);
    pipe.on('data', (piece: string) => {
      text += piece;
      if (text.length > MAX_VERDICT_BYTES) reject(new ModelRefusedError('crashed', 'The self-test answered more than a verdict.'));
      else if (text.endsWith('\n')) {
        try {
          resolve(figuresOf(JSON.parse(text)));
        } catch (error) {
          reject(error instanceof ModelRefusedError ? error : new ModelRefusedError('crashed', 'The self-test answered something that is no verdict.', error));
        }
      }
    });
  });
}

/** A native library that went wrong may write anything anywhere: nothing of it is believed without a look. */
function figuresOf(verdict: unknown): SelfTestFigures {
  if (typeof verdict === 'object' && verdict !== null) {
    if ('refused' in verdict) {
      const { refusal, message } = verdict.refused as { readonly refusal?: unknown; readonly message?: unknown };
      if (isModelRefusal(refusal) && typeof message === 'string') throw new ModelRefusedError(refusal, message);
    } else if ('passed' in verdict) {
      const { fileBytes, weightBytes, loadMs, runMs, peakBytes, worstDifference } = verdict.passed as Record<keyof SelfTestFigures, unknown>;
      const whole = (value: unknown): value is number => typeof value === 'number' && value >= 0;
      if (whole(fileBytes) && whole(weightBytes) && whole(loadMs) && whole(runMs) && whole(peakBytes) && whole(worstDifference)) return { fileBytes, weightBytes, loadMs, runMs, peakBytes, worstDifference };
    }
  }
  throw new TypeError('no verdict');
}

function keepTail(pipe: Readable | null): () => string {
  let kept = '';
  pipe?.setEncoding('utf8');
  pipe?.on('data', (piece: string) => {
    kept = (kept + piece).slice(-KEPT_STDERR_BYTES);
  });
  return () => kept;
}
