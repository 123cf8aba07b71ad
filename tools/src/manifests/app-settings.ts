import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

export type Environment = Readonly<Record<string, string | undefined>>;

/** What the code of an app says about its settings. */
export interface AppSettings {
  /** Every variable that it reads. */
  readonly variables: ReadonlySet<string>;
  /** @throws its SettingsError for an environment that the app would refuse */
  read(env: Environment): Readonly<Record<string, unknown>>;
  /** Whether some source of the app or the shared health server serves this path. */
  serves(path: string): boolean;
}

/** What Node, the AWS SDK and the C library read by themselves. */
const OF_THE_RUNTIME = /^(?:AWS_[A-Z0-9_]+|NODE_[A-Z_]+|TMPDIR|HOME|TZ|SSL_CERT_FILE|HTTPS?_PROXY|NO_PROXY)$/;

export function isRuntimeVariable(name: string): boolean {
  return OF_THE_RUNTIME.test(name);
}

/** Asks the app's own `settings.ts`: which variables it reads is seen by letting it read. @throws Error for an app without settings */
export async function loadAppSettings(root: string, app: string): Promise<AppSettings> {
  // Apps are programs, not libraries: their settings are loaded as what they are, a file of the checkout.
  const module = (await import(pathToFileURL(join(root, 'apps', app, 'src', 'settings.ts')).href)) as Readonly<Record<string, unknown>>;
  const read = Object.entries(module).find(([name, value]) => /^read\w*Settings$/.test(name) && typeof value === 'function')?.[1] as ((env: Environment) => Record<string, unknown>) | undefined;
  if (read === undefined) throw new Error(`apps/${app}/src/settings.ts exports no read…Settings.`);
  const variables = new Set<string>();
  const watched = new Proxy<Record<string, string | undefined>>({}, {
    get: (_target, name) => {
      if (typeof name === 'string' && /^[A-Z]/.test(name)) variables.add(name);
      return undefined;
    },
  });
  try {
    read(watched);
  } catch {
    // An empty environment is refused by most; what was asked for has been seen.
  }
  const sources = [await sourcesOf(join(root, 'apps', app, 'src')), await readFile(join(root, 'libs', 'service', 'src', 'health-server.ts'), 'utf8')].join('\n');
  return { variables, read, serves: (path) => sources.includes(`'${path}'`) };
}

async function sourcesOf(folder: string): Promise<string> {
  const files = (await readdir(folder, { recursive: true })).filter((file) => file.endsWith('.ts') && !/\.(test|fixture)\.ts$/.test(file));
  return (await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')))).join('\n');
}
