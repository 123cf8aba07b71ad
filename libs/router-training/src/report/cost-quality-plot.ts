import type { DataReport } from '../evaluation/evaluate-routing.ts';

export interface Plot {
  readonly name: string;
  /** SVG of 720 × 440, readable on light and dark pages. */
  readonly svg: string;
}

const WIDTH = 720;
const HEIGHT = 440;
const FRAME = { left: 64, right: 24, top: 56, bottom: 56 };
const COLOURS = ['#0b6e4f', '#c8553d', '#2b59c3', '#8d5a97', '#d98e04', '#3a7d8c'];

/** A line of a plot. */
export interface Line {
  readonly label: string;
  readonly points: readonly (readonly [number, number])[];
  readonly dashed: boolean;
}

/** Quality over cost of the routers worth seeing side by side: hand-written SVG, a few lines and axes need no charting library. */
export function plotOf(report: DataReport, routers: readonly string[]): Plot {
  const wanted = ({ router }: { readonly router: string }): boolean => routers.includes(router);
  if (report.kind === 'two-models') {
    const lines = report.table.filter(wanted).map(({ router, curve }): Line => ({ label: router, dashed: router === 'random' || router === 'oracle', points: curve.map((quality, percent) => [percent, 100 * quality]) }));
    return draw(report.name, `${report.name}: quality against share of calls to ${report.strong}`, `% of questions sent to ${report.strong} (the rest to ${report.weak})`, 'answered correctly, %', lines);
  }
  const lines = report.table.filter((row) => wanted(row) && row.curve.length > 0).map(({ router, curve }): Line => ({ label: router, dashed: router === 'random' || router === 'oracle', points: curve.map(({ cost, quality }) => [100 * cost, 100 * quality] as const) }));
  const parity: Line = { label: `best single (${report.bestSingle})`, dashed: true, points: [[0, 100 * report.bestSingleQuality], [100, 100 * report.bestSingleQuality]] };
  return draw(report.name, `${report.name}: quality against cost, ${report.models} models`, `cost, % of always asking ${report.bestSingle}`, 'mean score, %', [...lines, parity]);
}

/** Lines over axes that begin at 0 (x) and near the lowest value (y); both in percent. */
export function draw(name: string, title: string, xLabel: string, yLabel: string, lines: readonly Line[]): Plot {
  // The oracle's curve leaves the frame: what routers do is what the scale is for.
  const scaled = lines.filter(({ label }) => label !== 'oracle').flatMap(({ points }) => points);
  const ys = scaled.map(([, y]) => y);
  const low = Math.max(0, Math.floor((Math.min(...ys) - 0.5) / 5) * 5);
  const high = Math.min(100, Math.ceil((Math.max(...ys) + 0.5) / 5) * 5);
  const highX = Math.max(100, ...scaled.map(([x]) => x));
  const x = (value: number): string => (FRAME.left + (value / highX) * (WIDTH - FRAME.left - FRAME.right)).toFixed(1);
  const y = (value: number): string => (HEIGHT - FRAME.bottom - ((value - low) / (high - low)) * (HEIGHT - FRAME.top - FRAME.bottom)).toFixed(1);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" font-family="DejaVu Sans, Verdana, sans-serif" font-size="12" role="img">`,
    `<title>${escape(title)}</title>`, `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    `<clipPath id="frame"><rect x="${FRAME.left}" y="${FRAME.top}" width="${WIDTH - FRAME.left - FRAME.right}" height="${HEIGHT - FRAME.top - FRAME.bottom}"/></clipPath>`,
    `<text x="${FRAME.left}" y="28" font-size="15" font-weight="bold" fill="#1c1c1c">${escape(title)}</text>`,
  ];
  for (let tick = low; tick <= high; tick += high - low > 30 ? 10 : 5) {
    parts.push(`<line x1="${FRAME.left}" x2="${WIDTH - FRAME.right}" y1="${y(tick)}" y2="${y(tick)}" stroke="#e3e3e3"/>`, `<text x="${FRAME.left - 8}" y="${Number(y(tick)) + 4}" text-anchor="end" fill="#444">${tick}</text>`);
  }
  for (let tick = 0; tick <= highX; tick += 20) parts.push(`<text x="${x(tick)}" y="${HEIGHT - FRAME.bottom + 18}" text-anchor="middle" fill="#444">${tick}</text>`);
  parts.push(`<text x="${(WIDTH + FRAME.left) / 2}" y="${HEIGHT - 14}" text-anchor="middle" fill="#444">${escape(xLabel)}</text>`, `<text transform="translate(16 ${HEIGHT / 2}) rotate(-90)" text-anchor="middle" fill="#444">${escape(yLabel)}</text>`);
  lines.forEach(({ label, points, dashed }, index) => {
    const colour = dashed ? '#8a8a8a' : COLOURS[index % COLOURS.length];
    parts.push(`<polyline clip-path="url(#frame)" fill="none" stroke="${colour}" stroke-width="${dashed ? 1.3 : 2.2}"${dashed ? ' stroke-dasharray="5 4"' : ''} points="${points.map(([px, py]) => `${x(px)},${y(py)}`).join(' ')}"/>`);
    const row = HEIGHT - FRAME.bottom - 14 - 17 * (lines.length - 1 - index);
    parts.push(`<line x1="${WIDTH - 270}" x2="${WIDTH - 246}" y1="${row - 4}" y2="${row - 4}" stroke="${colour}" stroke-width="2"${dashed ? ' stroke-dasharray="5 4"' : ''}/>`, `<text x="${WIDTH - 240}" y="${row}" fill="#1c1c1c">${escape(label)}</text>`);
  });
  parts.push('</svg>');
  return { name, svg: `${parts.join('\n')}\n` };
}

/** Text for SVG and HTML. */
export function escape(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
