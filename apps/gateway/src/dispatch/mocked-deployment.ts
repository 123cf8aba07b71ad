import { createMockReplyProvider } from '@pointsman/providers';
import type { Deployment } from '../snapshot/snapshot.ts';

const NOTHING_PAID = (): number => 0;

/** The deployment as a request with LiteLLM's `mock_response` sees it: the same name and place, but nobody is called and nothing is paid. */
export function mockedDeployment(deployment: Deployment, text: string): Deployment {
  return { ...deployment, provider: createMockReplyProvider(text), costOf: NOTHING_PAID };
}
