import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** A plot as PNG, twice its size. Uses its own fonts: the picture is the same on a machine that has none. */
export async function renderPng(svg: string): Promise<Uint8Array> {
  // Here and not above: whoever only trains does without the renderer.
  const { Resvg } = await import('@resvg/resvg-js');
  const fonts = join(dirname(createRequire(import.meta.url).resolve('dejavu-fonts-ttf/package.json')), 'ttf');
  const resvg = new Resvg(svg, {
    fitTo: { mode: 'zoom', value: 2 }, font: { loadSystemFonts: false, fontFiles: [join(fonts, 'DejaVuSans.ttf'), join(fonts, 'DejaVuSans-Bold.ttf')], defaultFontFamily: 'DejaVu Sans' },
  });
  return resvg.render().asPng();
}
