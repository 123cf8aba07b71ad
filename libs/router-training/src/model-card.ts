export interface ModelCardFacts {
  readonly name: string;
  readonly version: string;
  readonly strategy: string;
  readonly created_at: string;
  readonly candidates: readonly string[];
  readonly features: { readonly version: number; readonly embedder: { readonly name: string; readonly dimensions: number } };
  readonly training: { readonly dataset_uri: string; readonly dataset_sha256: string; readonly rows: number; readonly seed: number; readonly metrics: Readonly<Record<string, number>> };
  readonly modelBytes: number;
}

/** What a person who finds the artifact should know of it: Markdown. */
export function modelCard({ name, version, strategy, candidates, features, training, modelBytes }: ModelCardFacts): string {
  return `# ${name} ${version}

A router model of Pointsman: predicts, for a prompt, how good the answer of each candidate model would be (0 to 1). It never sees an answer and never talks to a model.

| | |
|---|---|
| strategy | \`${strategy}\` |
| candidates | ${candidates.map((candidate) => `\`${candidate.replaceAll(/[`|\n\r]/g, '')}\``).join(', ')} |
| features | version ${features.version}, embedder ${features.embedder.name} (${features.embedder.dimensions} dimensions) |
| trained on | ${training.rows} rows, ${training.dataset_uri.replaceAll(/[|\n\r]/g, ' ')} |
| data digest | \`${training.dataset_sha256}\` |
| seed | ${training.seed} |
| size | ${modelBytes} bytes |
| on its own training rows | ${Object.entries(training.metrics).filter(([metric]) => metric.startsWith('training_')).map(([metric, value]) => `${metric} ${value}`).join(', ')} |

The last line says that training worked, not how good routing is: run \`evaluate\` on questions the model has not seen. Prompts unlike the training data get predictions
near each candidate's mean. Retrain when candidates change or traffic moves away from what it learned.
`;
}
