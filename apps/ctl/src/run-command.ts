import { CommanderError } from 'commander';
import { AppError } from '@pointsman/errors';
import type { CommandContext } from './command-context.ts';
import { createProgram } from './create-program.ts';

/** Runs one command line (without `node` and the script) and resolves to the exit code. */
export async function runCommand(argv: readonly string[], context: Omit<CommandContext, 'fail'>): Promise<number> {
  let exitCode = 0;
  const program = createProgram({ ...context, fail: (code) => { exitCode = Math.max(exitCode, code); } });
  try {
    await program.parseAsync([...argv], { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode;
    if (!(error instanceof AppError)) throw error;
    context.printError(`pointsman: ${error.message}`);
    return 1;
  }
  return exitCode;
}
