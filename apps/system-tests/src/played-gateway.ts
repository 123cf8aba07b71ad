import { startScriptedUpstream, type ScriptedUpstream } from '@pointsman/testing';
import { startGatewayUnderTest, type GatewayUnderTest } from './gateway-under-test.ts';
import { PLAYED_KINDS, playedDeployment, playProvider, REFUSED_STATUSES, type PlayedKind } from './played-providers.ts';

export interface PlayedGateway {
  readonly gateway: GatewayUnderTest;
  readonly upstreams: Readonly<Record<PlayedKind, ScriptedUpstream>>;
  close(): Promise<void>;
}

/** A gateway over one played provider of each kind and the simulated one, with a model of each that stalls or refuses, and whatever `more` adds. */
export async function startPlayedGateway(more: (upstreams: PlayedGateway['upstreams']) => readonly ReturnType<typeof playedDeployment>[] = () => []): Promise<PlayedGateway> {
  const [one, two, three] = await Promise.all(PLAYED_KINDS.map((kind) => startScriptedUpstream({ reply: playProvider(kind) })));
  if (one === undefined || two === undefined || three === undefined) throw new Error('a provider is missing');
  const upstreams = { openai: one, anthropic: two, gemini: three };
  const failing = PLAYED_KINDS.flatMap((kind) => ['stalls', 'stalls-midway', ...REFUSED_STATUSES.map((status) => `fails-${String(status)}`)].map((name) => playedDeployment(kind, `${kind}-${name}`, name, upstreams[kind].url)));
  const gateway = await startGatewayUnderTest({
    config: {
      model_list: [
        playedDeployment('openai', 'openai-model', 'gpt-4o', one.url),
        playedDeployment('anthropic', 'anthropic-model', 'claude-sonnet-4-5', two.url),
        playedDeployment('gemini', 'gemini-model', 'gemini-2.5-flash', three.url),
        playedDeployment('simulated', 'simulated-model', 'swift', ''),
        ...more(upstreams),
        ...failing,
      ],
      router_settings: { num_retries: 0, disable_cooldowns: true, breaker: { failures: 1000 } },
    },
  });
  return {
    gateway,
    upstreams,
    async close() {
      await gateway[Symbol.asyncDispose]();
      await Promise.all(Object.values(upstreams).map((upstream) => upstream.close()));
    },
  };
}
