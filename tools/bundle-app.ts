import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { bundleApp, bundleFolder } from './src/images/bundle-app.ts';

const HELP = `Bundles an app into a folder that Node runs with nothing else around: what its image holds.

  node tools/bundle-app.ts APP [--out DIR] [--arch x64|arm64]

Without --out: apps/APP/dist/image.`;

const root = join(import.meta.dirname, '..');
try {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { out: { type: 'string' }, arch: { type: 'string' }, help: { type: 'boolean', short: 'h', default: false } } });
  const [app] = positionals;
  if (values.help || app === undefined || positionals.length > 1) {
    console.log(HELP);
    process.exitCode = values.help ? 0 : 2;
  } else {
    if (values.arch !== undefined && values.arch !== 'x64' && values.arch !== 'arm64') throw new Error('--arch is x64 or arm64.');
    const { out, bytes, programs } = await bundleApp({ root, app, out: values.out === undefined ? bundleFolder(root, app) : resolve(values.out), ...(values.arch === undefined ? {} : { arch: values.arch }) });
    console.log(`${app}: ${(bytes / 1e6).toFixed(1)} MB in ${out} (${programs.join(', ')})`);
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
