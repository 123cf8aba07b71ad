import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { extname, join, relative, sep } from 'node:path';
import { build, type Metafile, type Plugin } from 'esbuild';
import { companions, externalPackages } from './companions.ts';

export interface BundleOptions {
  /** Of the checkout. */
  readonly root: string;
  /** Folder name under `apps`. */
  readonly app: string;
  /** Emptied first. */
  readonly out: string;
  readonly arch?: 'x64' | 'arm64';
}

export interface Bundle {
  readonly out: string;
  readonly version: string;
  readonly bytes: number;
  /** Programs, relative to `out`; the first is the app. */
  readonly programs: readonly string[];
}

/**
 * Makes of an app a folder that Node runs with nothing else around: `main.js`, one file per worker or child process at the path that its starter looks for it,
 * the assets at theirs, and `node_modules` with the few packages that cannot be bundled. Licences of everything inside are collected in `LICENSES.txt`.
 * @throws Error for a source file that looks for companions which nobody listed
 */
export async function bundleApp({ root, app, out, arch = process.arch === 'arm64' ? 'arm64' : 'x64' }: BundleOptions): Promise<Bundle> {
  await rm(out, { recursive: true, force: true });
  await mkdir(out, { recursive: true });
  const { version } = JSON.parse(await readFile(join(root, 'apps', app, 'package.json'), 'utf8')) as { readonly version: string };
  const found = { entries: new Set<string>(), files: new Set<string>(), packages: new Set<string>() };
  const bundled = new Set<string>();
  const programs: string[] = [];
  const todo = [`apps/${app}/src/main.ts`];
  // Workers have companions too: until nothing new turns up.
  for (let entry = todo.shift(); entry !== undefined; entry = todo.shift()) {
    const program = programs.length === 0 ? 'main.js' : entry.replace(/\.ts$/, '.js');
    if (programs.includes(program)) continue;
    programs.push(program);
    const metafile = await bundleEntry({ root, out, entry, program, found });
    for (const name of packagesIn(metafile)) bundled.add(name);
    todo.push(...found.entries);
  }
  for (const file of found.files) await cp(join(root, file), join(out, file), { recursive: true });
  for (const name of found.packages) await copyPackage({ root, out, name, arch, copied: bundled });
  await writeFile(join(out, 'package.json'), `${JSON.stringify({ name: `@pointsman/${app}`, version, private: true, type: 'module' })}\n`);
  await writeFile(join(out, 'health.js'), HEALTH_PROGRAM);
  // Where volumes are mounted: a new volume takes its owner from the image.
  for (const folder of ['config', 'models', 'run', 'home', 'spool', 'work']) await mkdir(join(out, 'app', folder), { recursive: true });
  await writeFile(join(out, 'LICENSES.txt'), await licences(root, bundled));
  return { out, version, bytes: await sizeOf(out), programs };
}

interface EntryOptions {
  readonly root: string;
  readonly out: string;
  readonly entry: string;
  readonly program: string;
  readonly found: { readonly entries: Set<string>; readonly files: Set<string>; readonly packages: Set<string> };
}

async function bundleEntry({ root, out, entry, program, found }: EntryOptions): Promise<Metafile> {
  const up = '../'.repeat(program.split('/').length - 1) || './';
  const lookups: Plugin = {
    name: 'lookups',
    setup(builder) {
      // A file that looks for something beside itself goes on doing so: its address in the bundle is the one it had in the checkout.
      builder.onLoad({ filter: /[\\/](apps|libs)[\\/][^\\/]+[\\/]src[\\/].*\.ts$/ }, async ({ path }) => {
        const text = await readFile(path, 'utf8');
        if (!/\bimport\.meta\b/.test(text)) return undefined;
        const source = relative(root, path).split(sep).join('/');
        const known = companions[source];
        if (known === undefined) return { errors: [{ text: `${source} uses import.meta: list what it looks for in tools/src/images/companions.ts` }] };
        for (const name of known.entries ?? []) found.entries.add(name);
        for (const name of known.files ?? []) found.files.add(name);
        for (const name of known.packages ?? []) found.packages.add(name);
        const address = `new URL(${JSON.stringify(source.replace(/\.ts$/, '.js'))}, __bundleRoot).href`;
        return { contents: text.replaceAll(/\bimport\.meta\.url\b/g, address), loader: 'ts' };
      });
      builder.onResolve({ filter: /^(@[\w.-]+\/)?[\w.-]+(\/.*)?$/ }, ({ path }) => {
        const name = Object.keys(externalPackages).find((known) => path === known || path.startsWith(`${known}/`));
        if (name === undefined) return undefined;
        found.packages.add(name);
        return { path, external: true };
      });
    },
  };
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile: join(out, program),
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    minifySyntax: true,
    minifyWhitespace: true,
    keepNames: true,
    legalComments: 'none',
    metafile: true,
    logLevel: 'silent',
    // CommonJS packages ask for `require`; the names are ours so that they meet nobody else's.
    banner: { js: `import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url); const __bundleRoot = new URL(${JSON.stringify(up)}, import.meta.url).href;` },
    plugins: [lookups],
  });
  return metafile;
}

function packagesIn({ inputs }: Metafile): Set<string> {
  const names = new Set<string>();
  for (const path of Object.keys(inputs)) {
    const name = /(?:^|\/)(node_modules\/(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1];
    if (name !== undefined && !name.includes('node_modules/@pointsman/')) names.add(path.slice(0, path.lastIndexOf(name) + name.length));
  }
  return names;
}

async function copyPackage({ root, out, name, arch, copied }: { readonly root: string; readonly out: string; readonly name: string; readonly arch: 'x64' | 'arm64'; readonly copied: Set<string> }): Promise<void> {
  const folder = `node_modules/${name}`;
  const rules = externalPackages[name];
  if (rules === undefined || copied.has(folder)) return;
  copied.add(folder);
  // npm installs native packages of its own system only.
  if (!existsSync(join(root, folder))) throw new Error(`${name} is not installed here: bundle on the processor that the image is for, or npm install --cpu=${arch} --os=linux first.`);
  for (const file of ['package.json', ...rules.files(arch)]) {
    const source = join(root, folder, file);
    await cp(source, join(out, folder, file), {
      recursive: true,
      filter: async (path) => (await stat(path)).isDirectory() || rules.leave === undefined || !rules.leave.test(relative(join(root, folder), path).split(sep).join('/')),
    });
  }
  for (const needed of rules.needs?.(arch) ?? []) await copyPackage({ root, out, name: needed, arch, copied });
}

async function licences(root: string, folders: ReadonlySet<string>): Promise<string> {
  const parts: string[] = [];
  for (const folder of [...folders].sort()) {
    const { name, version, license } = JSON.parse(await readFile(join(root, folder, 'package.json'), 'utf8')) as { readonly name?: string; readonly version?: string; readonly license?: string };
    const files = (await readdir(join(root, folder))).filter((file) => /^(licen[cs]e|notice|copying)/i.test(file) && ['', '.md', '.txt', '.mit', '.apache2'].includes(extname(file).toLowerCase()));
    const texts = await Promise.all(files.map((file) => readFile(join(root, folder, file), 'utf8').catch(() => '')));
    parts.push(`${name ?? folder} ${version ?? ''} (${license ?? 'see its text'})\n\n${texts.join('\n')}`.trimEnd());
  }
  return `${parts.join(`\n\n${'-'.repeat(80)}\n\n`)}\n`;
}

/** Bytes of a file or of everything in a folder. */
export async function sizeOf(path: string): Promise<number> {
  const about = await stat(path);
  if (!about.isDirectory()) return about.size;
  const sizes = await Promise.all((await readdir(path)).map((name) => sizeOf(join(path, name))));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** What HEALTHCHECK runs: there is no shell and no curl in the image. The address is its argument; the port may be set by `PORT` or `HEALTH_PORT`. */
const HEALTH_PROGRAM = `const [path, fallback] = process.argv.slice(2);
const port = process.env[fallback === '4000' ? 'PORT' : 'HEALTH_PORT'] || fallback;
try {
  const reply = await fetch(\`http://127.0.0.1:\${port}\${path}\`, { signal: AbortSignal.timeout(4000) });
  process.exitCode = reply.ok ? 0 : 1;
} catch {
  process.exitCode = 1;
}
`;

/** Where the bundle of an app is written when nobody says otherwise. */
export function bundleFolder(root: string, app: string): string {
  return join(root, 'apps', app, 'dist', 'image');
}

