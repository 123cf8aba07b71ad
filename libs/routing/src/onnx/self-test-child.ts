import { writeSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { describeUnknown } from '@pointsman/errors';
import { ArtifactRejectedError, verifyArtifactDirectory } from '@pointsman/model-artifacts';
import type { ModelManifest } from '@pointsman/schemas';
import { createVerifierExtractor, VERIFIER_STRATEGY } from '../compound/verifier-extractor.ts';
import type { FeatureExtractor } from '../features/prompt-features.ts';
import { checkCausalLmInterface, openCausalLmSession } from './causal-lm-session.ts';
import { checkGolden } from './check-golden.ts';
import { checkHeadInterface } from './check-head-interface.ts';
import { openHeadSession } from './head-session.ts';
import { inspectModel } from './inspect-model.ts';
import { checkFeatures } from './load-router-model.ts';
import { ModelRefusedError } from './model-refused-error.ts';
import { HEAD_OPERATORS, TRANSFORMER_OPERATORS } from './operators.ts';
import { CAUSAL_LM_STRATEGY, readCausalLm } from './read-causal-lm.ts';
import { readArtifact } from './read-artifact.ts';
import { VERDICT_DESCRIPTOR, type ExpectedArtifact, type SelfTestFigures, type SelfTestRequest, type SelfTestVerdict } from './self-test-messages.ts';
import { blankFeatures, warmUp } from './warm-up.ts';

/** The child of `selfTestArtifact`: does with an artifact what the gateway would do, where a crash hurts nobody. It is killed once it has answered. */
async function test({ directory, maxBytes, intact, extractorModule, extractorOptions }: SelfTestRequest): Promise<SelfTestFigures> {
  if (intact !== undefined) await requireIntact(directory, intact);
  const { manifest, headPath } = await readArtifact(directory);
  if (manifest.strategy === CAUSAL_LM_STRATEGY) return testCausalLm({ directory, manifest, headPath, maxBytes });
  const facts = inspectModel(headPath, { maxBytes, operators: HEAD_OPERATORS });
  const inputs = checkHeadInterface(facts, manifest);
  // A verifier is fed features of an answer, which no extractor of prompts makes.
  const extractor = manifest.strategy === VERIFIER_STRATEGY ? createVerifierExtractor() : await createExtractor(extractorModule, { ...extractorOptions, embedder: manifest.features.embedder.name });
  checkFeatures(manifest.features, { featureVersion: extractor.version, embedder: extractor.embedder });
  const startedAt = performance.now();
  const session = await openHeadSession(headPath, { inputs, columns: manifest.candidates.length });
  const loadMs = performance.now() - startedAt;
  const runMs = await warmUp(session, blankFeatures(facts));
  const worstDifference = await checkGolden({ manifest, extractor, session });
  return { fileBytes: facts.fileBytes, weightBytes: facts.weightBytes, loadMs, runMs, worstDifference, peakBytes: process.resourceUsage().maxRSS * 1024 };
}

/**
 * Proves that a directory holds what it is named after: whoever checked the signature checked that digest, and a file that was changed or damaged since must not serve.
 * @throws ModelRefusedError `manifest`, `unreadable`
 */
async function requireIntact(directory: string, { name, version, revision }: ExpectedArtifact): Promise<void> {
  try {
    const verified = await verifyArtifactDirectory(directory, { expect: { name, version }, publicKeys: [], mode: 'off', maxBytes: Infinity });
    if (verified.revision !== revision) throw new ModelRefusedError('manifest', `The directory ${revision} holds ${verified.revision}.`);
  } catch (error) {
    if (error instanceof ModelRefusedError) throw error;
    throw error instanceof ArtifactRejectedError ? new ModelRefusedError('manifest', error.message, error) : new ModelRefusedError('unreadable', `The files of the model cannot be read: ${describeUnknown(error)}`, error);
  }
}

interface CausalLmTest {
  readonly directory: string;
  readonly manifest: ModelManifest;
  readonly headPath: string;
  readonly maxBytes: number;
}

async function testCausalLm({ directory, manifest, headPath, maxBytes }: CausalLmTest): Promise<SelfTestFigures> {
  const parts = await readCausalLm(directory, manifest);
  const facts = inspectModel(headPath, { maxBytes, operators: TRANSFORMER_OPERATORS });
  checkCausalLmInterface(facts);
  const startedAt = performance.now();
  const session = await openCausalLmSession(headPath, parts);
  const loadMs = performance.now() - startedAt;
  const runMs = await warmUp(session, { prompt: '' });
  const worstDifference = await checkGolden({ manifest, extractor: { extract: ({ text }) => ({ prompt: text }) }, session });
  return { fileBytes: facts.fileBytes, weightBytes: facts.weightBytes, loadMs, runMs, worstDifference, peakBytes: process.resourceUsage().maxRSS * 1024 };
}

async function createExtractor(module: string, options: Readonly<Record<string, unknown>>): Promise<FeatureExtractor> {
  const { createFeatureExtractor } = (await import(module)) as { createFeatureExtractor: (options: Readonly<Record<string, unknown>>) => FeatureExtractor | Promise<FeatureExtractor> };
  try {
    return await createFeatureExtractor(options);
  } catch (error) {
    throw new ModelRefusedError('features', `The features that the model was trained on cannot be made here: ${describeUnknown(error)}`, error);
  }
}

function answer(verdict: SelfTestVerdict): void {
  writeSync(VERDICT_DESCRIPTOR, `${JSON.stringify(verdict)}\n`);
}

const lines = createInterface({ input: process.stdin });
lines.once('line', (line) => {
  test(JSON.parse(line) as SelfTestRequest).then(
    (passed) => answer({ passed }),
    (error: unknown) => answer({ refused: error instanceof ModelRefusedError ? { refusal: error.refusal, message: error.message } : { refusal: 'load_failed', message: describeUnknown(error) } }),
  );
});
// Standard input ends when the parent is gone: nobody is left to answer to.
lines.once('close', () => process.kill(process.pid, 'SIGKILL'));
