import type { Plot } from './cost-quality-plot.ts';

/** One HTML page with all plots, nothing loaded from anywhere. */
export function plotPage(plots: readonly Plot[]): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Pointsman: cost and quality of routing</title>
<style>body { font-family: system-ui, sans-serif; max-width: 760px; margin: 2rem auto; padding: 0 1rem; } svg { max-width: 100%; height: auto; }</style>
<h1>Cost and quality of routing</h1>
<p>Five-fold cross-validation on real outcomes; figures and method in <code>docs/routing-quality.md</code>.</p>
${plots.map(({ svg }) => `<figure>${svg}</figure>`).join('\n')}
</html>
`;
}
