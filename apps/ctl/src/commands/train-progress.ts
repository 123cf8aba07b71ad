import cliProgress from 'cli-progress';
import type { CommandContext } from '../command-context.ts';

export interface Progress extends Disposable {
  /** `share` from 0 to 1. */
  report(phase: string, share: number): void;
}

const STEPS = 1_000;

/** A bar on a terminal; elsewhere one line on standard error per phase; nothing at all for machines (`json`). */
export function showProgress({ columns, printError }: Pick<CommandContext, 'columns' | 'printError'>, { json = false }: { readonly json?: boolean | undefined } = {}): Progress {
  if (json) return { report: () => undefined, [Symbol.dispose]: () => undefined };
  let shown = '';
  if (columns === undefined) {
    return {
      report(phase) {
        if (phase !== shown) printError(`${phase} …`);
        shown = phase;
      },
      [Symbol.dispose]: () => undefined,
    };
  }
  // Training holds the thread: a bar that waits for a timer would stand still, this one is drawn by the update itself.
  const bar = new cliProgress.SingleBar({ format: '{phase} {bar} {percentage} %', clearOnComplete: true, hideCursor: true, synchronousUpdate: true }, cliProgress.Presets.shades_classic);
  bar.start(STEPS, 0, { phase: '' });
  return {
    report(phase, share) { bar.update(Math.round(STEPS * Math.min(1, Math.max(0, share))), { phase }); },
    [Symbol.dispose]: () => { bar.stop(); },
  };
}
