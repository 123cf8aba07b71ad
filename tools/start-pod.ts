import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runPod } from './src/pod/run-pod.ts';

const HELP = `Starts the whole pod as local processes.

  npm start                          gateway on 127.0.0.1:4000
  npm start -- --config FILE         with your own LiteLLM config.yaml (also CONFIG_PATH)
  npm start -- --verbose             every log line on the terminal, not only warnings

Environment: PORT (4000), HOST (127.0.0.1), POINTSMAN_HOME (.pointsman), LITELLM_MASTER_KEY (else one is made and kept),
OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY, GROQ_API_KEY, MISTRAL_API_KEY and others add their models.
Ctrl-C lets requests finish and ends with 0; Ctrl-C again, later, ends at once.`;


try {
  const { values } = parseArgs({ options: { config: { type: 'string' }, verbose: { type: 'boolean', default: false }, help: { type: 'boolean', short: 'h', default: false } } });
  if (values.help) console.log(HELP);
  else process.exitCode = await runPod({ root: join(import.meta.dirname, '..'), env: process.env, config: values.config, verbose: values.verbose });
} catch (error) {
  console.error(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
