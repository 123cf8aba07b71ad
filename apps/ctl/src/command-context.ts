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
  /** A line of a terminal that is drawn anew each time and gone with the next `print`; undefined when the output is no terminal. */
  readonly draw?: (line: string) => void;
  /** Asks a person; undefined when there is none. */
  readonly ask?: (question: string) => Promise<string>;
  /** From now on Ctrl-C is the command's to handle, until disposed of. Without it Ctrl-C ends the process. */
  readonly interrupts?: () => Disposable & { readonly signal: AbortSignal };
}

/** A file in `commands/` exports one of these and gets one line in `create-program.ts`. */
export type AddCommand = (program: Command, context: CommandContext) => void;
