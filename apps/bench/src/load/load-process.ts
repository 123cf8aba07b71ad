import { scenarios, type ScenarioName } from '../scenarios.ts';
import { requestBodies } from './request-bodies.ts';
import { sendSlice, type SliceResult } from './send-slice.ts';

/** One order to the load process: which slice to send where. */
export interface LoadOrder {
  readonly baseUrl: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly model: string;
  readonly scenario: ScenarioName;
  readonly requests: number;
  readonly deadlineMs: number;
}

/** The load generator, a process of its own: takes a `LoadOrder` per message and answers with a `SliceResult`. */
process.on('message', (order: LoadOrder) => {
  void run(order).then((result) => process.send?.(result));
});
process.on('disconnect', () => process.exit(0));

function run(order: LoadOrder): Promise<SliceResult> {
  const scenario = scenarios[order.scenario];
  const { hostname, port } = new URL(order.baseUrl);
  return sendSlice({
    host: hostname,
    port: Number(port),
    path: '/v1/chat/completions',
    headers: order.headers,
    bodies: requestBodies(scenario, order.model),
    stream: scenario.stream,
    connections: scenario.connections,
    requests: order.requests,
    deadlineMs: order.deadlineMs,
  });
}
