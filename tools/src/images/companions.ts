/** What a source file reaches for at run time by a path of its own instead of an import. Paths are relative to the repository. */
export interface Companions {
  /** Programs of their own: workers and child processes. */
  readonly entries?: readonly string[];
  /** Files and folders, copied as they are. */
  readonly files?: readonly string[];
  /** npm packages that are loaded by name. */
  readonly packages?: readonly string[];
}

/**
 * Every source file that says `import.meta`. The bundler refuses one that is not listed: what it looks for would be missing in the image
 * and nobody would know before the first request that needs it.
 */
export const companions: Readonly<Record<string, Companions>> = {
  'libs/database/src/embedded/open-embedded-database.ts': { entries: ['libs/database/src/embedded/serve-pglite.ts'] },
  'libs/pricing/src/price-map.ts': { files: ['libs/pricing/src/data/model_prices.json.gz'] },
  'libs/routing/src/features/static-embedder.ts': { files: ['libs/routing/assets/static-embedder.bin'] },
  'libs/routing/src/onnx/head-thread.ts': { entries: ['libs/routing/src/onnx/head-worker.ts'] },
  'libs/routing/src/onnx/minilm-session.ts': { entries: ['libs/routing/src/onnx/minilm-worker.ts'] },
  'libs/routing/src/onnx/self-test.ts': { entries: ['libs/routing/src/onnx/self-test-child.ts', 'libs/routing/src/features/create-feature-extractor.ts'] },
  'libs/router-training/src/report/render-png.ts': { packages: ['dejavu-fonts-ttf'] },
  'libs/routing/src/shipped-router.ts': { files: ['libs/routing/assets/default-router'] },
  'libs/tokens/src/encoding.ts': { packages: ['gpt-tokenizer'] },
};

/** A package that stays outside the bundle, and which of its files an image needs. */
export interface ExternalPackage {
  /** Paths relative to the package; a folder brings everything under it that `leave` does not name. */
  readonly files: (arch: 'x64' | 'arm64') => readonly string[];
  readonly leave?: RegExp;
  /** Other external packages that it loads. */
  readonly needs?: (arch: 'x64' | 'arm64') => readonly string[];
}

export const externalPackages: Readonly<Record<string, ExternalPackage>> = {
  // Native. Of its 260 MB for every system only the library of this one, and that without CUDA.
  'onnxruntime-node': { files: (arch) => ['dist', `bin/napi-v6/linux/${arch}`], leave: /\.(map|d\.ts)$/, needs: () => ['onnxruntime-common'] },
  'onnxruntime-common': { files: () => ['dist/cjs'], leave: /\.(map|d\.ts)$/ },
  // WASM and a file system image that it finds beside itself; its extensions are for others.
  '@electric-sql/pglite': { files: () => ['dist'], leave: /\.(map|d\.ts|d\.cts|cjs|tar\.gz)$|^dist\/(contrib|live|node-postgres|sync|vector|worker)\// },
  // Vocabularies, loaded by name when the first bill asks for one.
  'gpt-tokenizer': { files: () => ['cjs/encodingParams/constants.js', 'cjs/bpeRanks/o200k_base.js', 'cjs/bpeRanks/cl100k_base.js'] },
  // Native, each in a package per system.
  '@duckdb/node-api': { files: () => ['lib'], leave: /\.(map|d\.ts)$/, needs: () => ['@duckdb/node-bindings'] },
  '@duckdb/node-bindings': { files: () => ['duckdb.js'], needs: (arch) => [`@duckdb/node-bindings-linux-${arch}`, 'detect-libc'] },
  '@duckdb/node-bindings-linux-x64': { files: () => ['duckdb.node', 'libduckdb.so'] },
  '@duckdb/node-bindings-linux-arm64': { files: () => ['duckdb.node', 'libduckdb.so'] },
  'detect-libc': { files: () => ['lib'] },
  '@resvg/resvg-js': { files: () => ['index.js', 'js-binding.js'], needs: (arch) => [`@resvg/resvg-js-linux-${arch}-gnu`] },
  '@resvg/resvg-js-linux-x64-gnu': { files: () => ['resvgjs.linux-x64-gnu.node'] },
  '@resvg/resvg-js-linux-arm64-gnu': { files: () => ['resvgjs.linux-arm64-gnu.node'] },
  // The fonts of a report's pictures.
  'dejavu-fonts-ttf': { files: () => ['ttf/DejaVuSans.ttf', 'ttf/DejaVuSans-Bold.ttf'] },
};
