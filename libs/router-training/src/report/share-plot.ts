import { escape, type Plot } from './cost-quality-plot.ts';

const WIDTH = 720;
const ROW = 46;
const LEFT = 200;
const COLOURS = ['#0b6e4f', '#c8553d', '#2b59c3'];

/** Bars of what share of requests each model gets, one bar per policy. */
export function sharePlot(policies: readonly { readonly label: string; readonly shares: Readonly<Record<string, number>> }[]): Plot {
  const models = [...new Set(policies.flatMap(({ shares }) => Object.keys(shares)))].sort();
  const height = 96 + models.length * ROW;
  const bar = (ROW - 12) / policies.length;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" font-family="DejaVu Sans, Verdana, sans-serif" font-size="12" role="img">`,
    '<title>Share of requests by model</title>', `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`, '<text x="24" y="28" font-size="15" font-weight="bold" fill="#1c1c1c">Share of requests by model</text>',
  ];
  models.forEach((model, row) => {
    const top = 48 + row * ROW;
    const shown = model.length > 26 ? `${model.slice(0, 25)}…` : model;
    parts.push(`<text x="${LEFT - 8}" y="${top + (ROW - 12) / 2 + 4}" text-anchor="end" fill="#444">${escape(shown)}</text>`);
    policies.forEach(({ shares }, index) => {
      const share = Math.min(1, Math.max(0, Object.hasOwn(shares, model) ? shares[model]! : 0));
      const width = share * (WIDTH - LEFT - 80);
      const y = top + index * bar;
      parts.push(`<rect x="${LEFT}" y="${y.toFixed(1)}" width="${width.toFixed(1)}" height="${(bar - 1).toFixed(1)}" fill="${COLOURS[index % COLOURS.length]}"/>`, `<text x="${(LEFT + width + 6).toFixed(1)}" y="${(y + bar / 2 + 4).toFixed(1)}" font-size="10" fill="#444">${(100 * share).toFixed(1)} %</text>`);
    });
  });
  policies.forEach(({ label }, index) => parts.push(`<rect x="${LEFT + index * 170}" y="${height - 30}" width="12" height="12" fill="${COLOURS[index % COLOURS.length]}"/>`, `<text x="${LEFT + index * 170 + 18}" y="${height - 20}" fill="#1c1c1c">${escape(label)}</text>`));
  parts.push('</svg>');
  return { name: 'shares', svg: `${parts.join('\n')}\n` };
}
