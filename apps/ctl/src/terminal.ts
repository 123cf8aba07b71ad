import { createInterface } from 'node:readline/promises';
import type { CommandContext } from './command-context.ts';

/** Whoever starts a command through the launcher gets one Ctrl-C twice: from the terminal and passed on. */
const SAME_PRESS_MS = 1_000;

/** What a terminal or a pipe gives to commands. */
export function terminalContext(): Omit<CommandContext, 'fail'> {
  const { stdout, stderr, stdin } = process;
  let isDrawn = false;
  const clear = (): string => {
    const before = isDrawn ? '\r\u001b[2K' : '';
    isDrawn = false;
    return before;
  };
  return {
    env: process.env,
    print: (text) => { stdout.write(`${clear()}${text}\n`); },
    printError: (text) => {
      stdout.write(clear());
      stderr.write(`${text}\n`);
    },
    columns: stdout.isTTY ? stdout.columns : undefined,
    ...(stdout.isTTY ? {
      draw: (line) => {
        stdout.write(`${clear()}${line.slice(0, stdout.columns - 1)}`);
        isDrawn = true;
      },
    } : {}),
    ...(stdout.isTTY && stdin.isTTY ? {
      ask: async (question) => {
        using lines = createInterface({ input: stdin, output: stdout });
        return await lines.question(question);
      },
    } : {}),
    interrupts,
  };
}

/** The first signal aborts; another one a moment later ends the process as if nobody listened. */
function interrupts(): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  let firstAt: number | undefined;
  const dispose = (): void => {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.off(name, onSignal);
  };
  function onSignal(name: NodeJS.Signals): void {
    if (firstAt === undefined) {
      firstAt = performance.now();
      controller.abort(new Error(`interrupted by ${name}`));
    } else if (performance.now() - firstAt > SAME_PRESS_MS) {
      dispose();
      process.kill(process.pid, name);
    }
  }
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.on(name, onSignal);
  return { signal: controller.signal, [Symbol.dispose]: dispose };
}
