import { createReadStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { createGzip } from 'node:zlib';
import { bundleApp, bundleFolder } from './src/images/bundle-app.ts';
import { buildWords, ENGINES, findEngine, run, saveWords, type Engine } from './src/images/container-engine.ts';
import { imageLimits, megabytes, sizeProblem } from './src/images/image-limits.ts';

const HELP = `Bundles apps and builds their images with podman, buildah or docker, whichever is there; fails for an image past its size limit.

  node tools/build-images.ts [APP …]      all: ${Object.keys(imageLimits).join(', ')}
    --tag TAG            instead of the version in the app's package.json
    --prefix REGISTRY    such as ghcr.io/acme/: becomes ghcr.io/acme/pointsman-APP:TAG (default localhost/)
    --base IMAGE         instead of distroless Node 24; also BASE_IMAGE in the environment
    --engine NAME        ${ENGINES.join(', ')}
    --revision SHA       for the label org.opencontainers.image.revision`;

const root = join(import.meta.dirname, '..');

async function buildImage(engine: Engine, app: string, options: { readonly tag: string | undefined; readonly prefix: string; readonly base: string | undefined; readonly revision: string }): Promise<string | undefined> {
  const bundle = await bundleApp({ root, app, out: bundleFolder(root, app) });
  const tag = `${options.prefix}pointsman-${app}:${options.tag ?? bundle.version}`;
  await run(engine, buildWords(engine, {
    tag, dockerfile: join(root, 'apps', app, 'Dockerfile'), context: bundle.out,
    buildArgs: { VERSION: bundle.version, REVISION: options.revision, ...(options.base === undefined ? {} : { BASE_IMAGE: options.base }) },
  }));
  const folder = await mkdtemp(join(tmpdir(), 'pointsman-image-'));
  try {
    const archive = join(folder, 'image.tar');
    await run(engine, saveWords(engine, tag, archive));
    const compressed = await gzippedBytes(archive);
    console.log(`${tag}: bundle ${megabytes(bundle.bytes)}, image ${megabytes(compressed)} compressed`);
    return sizeProblem(app, compressed);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What a registry would transfer: layers are gzipped there. */
async function gzippedBytes(file: string): Promise<number> {
  let bytes = 0;
  await pipeline(createReadStream(file), createGzip({ level: 6 }), async (chunks: AsyncIterable<Buffer>) => {
    for await (const chunk of chunks) bytes += chunk.length;
  });
  return bytes;
}

async function headRevision(): Promise<string> {
  const head = await readFile(join(root, '.git', 'HEAD'), 'utf8').catch(() => '');
  const ref = /^ref: (.+)$/m.exec(head)?.[1];
  const revision = ref === undefined ? head : await readFile(join(root, '.git', ref), 'utf8').catch(() => '');
  return revision.trim() || 'unknown';
}

try {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { tag: { type: 'string' }, prefix: { type: 'string', default: 'localhost/' }, base: { type: 'string' }, engine: { type: 'string' }, revision: { type: 'string' }, help: { type: 'boolean', short: 'h', default: false } },
  });
  if (values.help) console.log(HELP);
  else {
    const unknown = positionals.filter((app) => !(app in imageLimits));
    if (unknown.length > 0) throw new Error(`No such image: ${unknown.join(', ')}. There are ${Object.keys(imageLimits).join(', ')}.`);
    const engine = values.engine === undefined ? findEngine() : ENGINES.find((name) => name === values.engine);
    if (engine === undefined) throw new Error(`None of ${ENGINES.join(', ')} is installed: on Debian, apt-get install buildah.`);
    const base = values.base ?? process.env['BASE_IMAGE'];
    const problems: string[] = [];
    for (const app of positionals.length > 0 ? positionals : Object.keys(imageLimits)) {
      const problem = await buildImage(engine, app, { tag: values.tag, prefix: values.prefix, base, revision: values.revision ?? await headRevision() });
      if (problem !== undefined) problems.push(problem);
    }
    for (const problem of problems) console.error(problem);
    process.exitCode = problems.length > 0 ? 1 : 0;
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
