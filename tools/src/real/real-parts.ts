/** Something real that the tests run against and that neither npm nor apt brings. */
export interface RealPart {
  readonly name: string;
  /** Programs that must be on PATH before the start script can do anything. */
  readonly needs: readonly string[];
  /**
   * Script in `tools/parts` that makes the part ready, cached outside the repository, and prints `NAME=value` lines on stdout:
   * the environment of its tests.
   */
  readonly script: string;
  /** Longest the script may take from nothing, in minutes. */
  readonly limitMin: number;
  /** Test files in `apps/system-tests/src/real`. */
  readonly tests: readonly string[];
}

export const REAL_PARTS: readonly RealPart[] = [
  { name: 'otel-collector', needs: ['go', 'flock'], script: 'otel-collector.sh', limitMin: 20, tests: ['otel-collector.real-test.ts'] },
  { name: 'minio', needs: ['go', 'flock'], script: 'minio.sh', limitMin: 20, tests: ['object-store-on-minio.real-test.ts', 'sync-on-minio.real-test.ts'] },
  { name: 'openbao', needs: ['python3', 'flock'], script: 'openbao.sh', limitMin: 5, tests: ['secrets-from-openbao.real-test.ts'] },
  { name: 'kubernetes', needs: ['go', 'jq', 'flock', 'openssl'], script: 'kubernetes.sh', limitMin: 35, tests: ['kubernetes.real-test.ts'] },
  { name: 'traces-end-to-end', needs: ['go', 'flock', 'jq'], script: 'traces-end-to-end.sh', limitMin: 40, tests: ['traces-end-to-end.real-test.ts'] },
  { name: 'python-sdk', needs: ['python3', 'flock'], script: 'python-sdk.sh', limitMin: 5, tests: ['python-sdk.real-test.ts'] },
  { name: 'mlflow', needs: ['python3', 'flock'], script: 'mlflow.sh', limitMin: 15, tests: ['mlflow-registry.real-test.ts'] },
  { name: 'closed-loop', needs: ['go', 'python3', 'flock'], script: 'closed-loop.sh', limitMin: 30, tests: ['closed-loop.real-test.ts'] },
];

/**
 * The parts of a run. Everything unless `only` names some; `without` leaves parts out.
 * @throws Error for a name that no part has.
 */
export function chooseParts(parts: readonly RealPart[], { only, without }: { readonly only: readonly string[]; readonly without: readonly string[] }): RealPart[] {
  const unknown = [...only, ...without].find((name) => !parts.some((part) => part.name === name));
  if (unknown !== undefined) throw new Error(`There is no part ${unknown}: choose from ${parts.map(({ name }) => name).join(', ')}.`);
  return parts.filter(({ name }) => (only.length === 0 || only.includes(name)) && !without.includes(name));
}
