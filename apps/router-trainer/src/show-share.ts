import cliProgress from 'cli-progress';

export interface ShareBar extends Disposable {
  /** `share` from 0 to 1. */
  update(what: string, share: number): void;
}

/** A progress bar where somebody watches; nothing in a Job, whose log has the phases. */
export function showShare(stream: NodeJS.WriteStream): ShareBar {
  if (!stream.isTTY) return { update: () => undefined, [Symbol.dispose]: () => undefined };
  // Training holds the thread: a bar that waits for a timer would stand still.
  const bar = new cliProgress.SingleBar({ format: '{what} {bar} {percentage} %', clearOnComplete: true, hideCursor: true, synchronousUpdate: true, stream }, cliProgress.Presets.shades_classic);
  bar.start(1_000, 0, { what: '' });
  return { update: (what, share) => bar.update(Math.round(1_000 * Math.min(1, Math.max(0, share))), { what }), [Symbol.dispose]: () => bar.stop() };
}
