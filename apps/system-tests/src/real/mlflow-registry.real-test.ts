import { createMlflowRegistry } from '@pointsman/model-registry';
import { describeModelRegistry } from '@pointsman/model-registry/conformance';
import { startMlflow } from './start-mlflow.ts';

/** The promises of every registry, kept by a real MLflow with its own database and artifact proxy. */
describeModelRegistry('a real MLflow', async () => {
  const mlflow = await startMlflow();
  const open = () => createMlflowRegistry({ url: mlflow.url, timeoutMs: 60_000 });
  return { registry: open(), other: open(), [Symbol.asyncDispose]: () => mlflow[Symbol.asyncDispose]() };
});
