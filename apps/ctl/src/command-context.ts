import type { Command } from 'commander';

/** What commands get from outside, so that a test is a call. */
export interface CommandContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Standard output and standard error; text without the line end. */
  readonly print: (text: string) => void;
  readonly printError: (text: string) => void;
  /** Columns of the terminal; undefined when the output is not one. */
  readonly columns: number | undefined;
  /** The exit code unless something worse follows. */
  readonly fail: (exitCode: number) => void;
}

/** A file in `commands/` exports one of these and gets one line in `create-program.ts`. */
export type AddCommand = (program: Command, context: CommandContext) => void;
