import { expect, test } from 'vitest';
import { defineCounter, defineGauge, defineHistogram, type MetricDefinition } from './metric-definition.ts';
import * as names from './metric-names.ts';
import { createMetrics, type Metrics } from './metrics-registry.ts';

interface Sample {
  readonly name: string;
  readonly labels: Record<string, string>;
  readonly value: number;
}

/** Reads the text format 0.0.4 as strictly as promtool does: HELP and TYPE first, every sample of a family together, escapes resolved. */
function parseExposition(text: string): { samples: Sample[]; types: Map<string, string> } {
  const samples: Sample[] = [];
  const types = new Map<string, string>();
  const closed = new Set<string>();
  let family = '';
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const comment = /^# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) (.*)$/.exec(line);
    if (comment !== null) {
      const [, kind, name = '', rest = ''] = comment;
      if (kind === 'HELP') {
        if (family !== '') closed.add(family);
        if (closed.has(name)) throw new Error(`family ${name} appears twice`);
        family = name;
        if (rest.trim() === '') throw new Error(`no help for ${name}`);
      } else types.set(name, rest);
      continue;
    }
    const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (match === null) throw new Error(`not a sample: ${line}`);
    const [, name = '', labelText = '', value = ''] = match;
    if (name !== family && !(types.get(family) === 'histogram' && [`${family}_bucket`, `${family}_sum`, `${family}_count`].includes(name))) throw new Error(`${name} is outside its family ${family}`);
    const labels: Record<string, string> = {};
    let rest = labelText;
    while (rest !== '') {
      const label = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\\\|\\"|\\n)*)"(?:,|$)/.exec(rest);
      if (label === null) throw new Error(`not labels: ${rest}`);
      labels[label[1] ?? ''] = (label[2] ?? '').replace(/\\(.)/g, (_whole, character: string) => (character === 'n' ? '\n' : character));
      rest = rest.slice(label[0].length);
    }
    samples.push({ name, labels, value: value === '+Inf' ? Infinity : Number(value) });
  }
  return { samples, types };
}

async function expose(metrics: Metrics) {
  const { contentType, text } = await metrics.exposition();
  expect(contentType).toBe('text/plain; version=0.0.4; charset=utf-8');
  return parseExposition(text);
}

const plain = (): Metrics => createMetrics({ processMetrics: false });

test('counters and gauges show what was counted, by label', async () => {
  const metrics = plain();
  const requests = metrics.counter(defineCounter('requests_total', 'Requests.', ['route', 'status']));
  requests.labels('chat', '200').inc();
  requests.labels('chat', '200').inc(2);
  requests.labels('chat', '500').inc();
  const streams = metrics.gauge(defineGauge('streams', 'Streams.', []));
  streams.labels().inc();
  streams.labels().inc();
  streams.labels().dec();
  const { samples, types } = await expose(metrics);
  expect(samples).toContainEqual({ name: 'requests_total', labels: { route: 'chat', status: '200' }, value: 3 });
  expect(samples).toContainEqual({ name: 'requests_total', labels: { route: 'chat', status: '500' }, value: 1 });
  expect(samples).toContainEqual({ name: 'streams', labels: {}, value: 1 });
  expect(types.get('requests_total')).toBe('counter');
  expect(types.get('streams')).toBe('gauge');
});

test('a counter never falls and never becomes NaN', () => {
  const series = plain().counter(defineCounter('c_total', 'C.', [])).labels();
  series.inc(-5);
  series.inc(Number.NaN);
  series.inc(1);
  expect(series.value).toBe(1);
});

test('a histogram counts cumulatively; a value on a bound belongs to it', async () => {
  const metrics = plain();
  const seconds = metrics.histogram(defineHistogram('duration_seconds', 'Seconds.', ['route'], [0.1, 1, 10])).labels('chat');
  for (const value of [0.05, 0.1, 0.5, 10, 99, Number.NaN]) seconds.observe(value);
  const { samples } = await expose(metrics);
  const bucket = (le: string): number | undefined => samples.find((sample) => sample.name === 'duration_seconds_bucket' && sample.labels['le'] === le)?.value;
  expect(['0.1', '1', '10', '+Inf'].map(bucket)).toEqual([2, 3, 4, 5]);
  expect(samples).toContainEqual({ name: 'duration_seconds_sum', labels: { route: 'chat' }, value: 109.65 });
  expect(samples).toContainEqual({ name: 'duration_seconds_count', labels: { route: 'chat' }, value: 5 });
});

test('label values with quotes, backslashes and line breaks come through', async () => {
  const metrics = plain();
  const nasty = 'a "quoted" \\ back\nslash} {,=';
  metrics.counter(defineCounter('nasty_total', 'N.', ['model'])).labels(nasty).inc();
  const { samples } = await expose(metrics);
  expect(samples).toContainEqual({ name: 'nasty_total', labels: { model: nasty }, value: 1 });
});

test('names such as __proto__ are labels like any other', async () => {
  const metrics = plain();
  metrics.counter(defineCounter('odd_total', 'O.', ['model', 'provider'])).labels('__proto__', 'constructor').inc();
  const { samples } = await expose(metrics);
  expect(samples.find((sample) => sample.name === 'odd_total')?.labels).toEqual({ model: '__proto__', provider: 'constructor' });
});

test('label combinations past the bound are counted together as "other", and that is counted too', async () => {
  const metrics = plain();
  const counter = metrics.counter(defineCounter('wide_total', 'W.', ['model', 'status'], 10));
  for (let index = 0; index < 1000; index += 1) counter.labels(`model-${index}`, '200').inc();
  counter.labels('model-3', '200').inc();
  const { samples } = await expose(metrics);
  const wide = samples.filter((sample) => sample.name === 'wide_total');
  expect(wide).toHaveLength(11);
  expect(wide).toContainEqual({ name: 'wide_total', labels: { model: 'other', status: 'other' }, value: 990 });
  expect(wide).toContainEqual({ name: 'wide_total', labels: { model: 'model-3', status: '200' }, value: 2 });
  expect(samples).toContainEqual({ name: 'telemetry_series_overflow_total', labels: { metric: 'wide_total' }, value: 990 });
});

test('a label value that is far too long is cut, and found again', async () => {
  const metrics = plain();
  const counter = metrics.counter(defineCounter('long_total', 'L.', ['model']));
  counter.labels('m'.repeat(10_000)).inc();
  counter.labels('m'.repeat(10_000)).inc();
  const { samples } = await expose(metrics);
  expect(samples.filter((sample) => sample.name === 'long_total')).toEqual([{ name: 'long_total', labels: { model: 'm'.repeat(256) }, value: 2 }]);
});

test('a removed series is gone, its siblings stay, and it starts again from zero', async () => {
  const metrics = plain();
  const info = metrics.gauge(defineGauge('config_info', 'I.', ['name', 'revision'], 2));
  info.labels('a', 'one').set(1);
  info.labels('a', 'two').set(1);
  info.remove('a', 'one');
  info.remove('a', 'one');
  info.remove('never', 'there');
  info.labels('a', 'three').set(1);
  const { samples } = await expose(metrics);
  expect(samples.filter((sample) => sample.name === 'config_info').map((sample) => sample.labels['revision'])).toEqual(['two', 'three']);
  info.clear();
  expect((await expose(metrics)).samples.filter((sample) => sample.name === 'config_info')).toEqual([]);
});

test('the same definition gives the same metric; a different one under its name is refused', () => {
  const metrics = plain();
  const definition = defineCounter('same_total', 'S.', ['a']);
  expect(metrics.counter(definition)).toBe(metrics.counter(definition));
  expect(() => metrics.counter(defineCounter('same_total', 'S.', ['b']))).toThrow(TypeError);
  expect(() => metrics.gauge(defineGauge('same_total', 'S.', ['a']))).toThrow(TypeError);
});

test('gauges are brought up to date right before they are read', async () => {
  const metrics = plain();
  const queue = metrics.gauge(defineGauge('queue_size', 'Q.', [])).labels();
  let size = 7;
  const stop = metrics.onCollect(() => queue.set(size));
  expect((await expose(metrics)).samples).toContainEqual({ name: 'queue_size', labels: {}, value: 7 });
  stop();
  size = 9;
  expect((await expose(metrics)).samples).toContainEqual({ name: 'queue_size', labels: {}, value: 7 });
});

test('the process shows its CPU, memory and event loop lag, and the whole text parses', async () => {
  const { samples } = await expose(createMetrics());
  const shown = new Set(samples.map((sample) => sample.name));
  for (const name of ['process_cpu_seconds_total', 'process_resident_memory_bytes', 'nodejs_eventloop_lag_p99_seconds']) expect(shown).toContain(name);
});

const definitions = Object.values(names).filter((value): value is typeof value & MetricDefinition => typeof value === 'object' && 'kind' in value) as MetricDefinition[];

test('every metric of the product has one name with its unit, help, and no label that could name a person', () => {
  expect(new Set(definitions.map((definition) => definition.name)).size).toBe(definitions.length);
  for (const { name, kind, help, labels, buckets } of definitions) {
    expect(name).toMatch(/^[a-z][a-z0-9_]*$/);
    expect(help.endsWith('.')).toBe(true);
    expect(name.endsWith('_total')).toBe(kind === 'counter');
    if (kind === 'histogram') expect(name.endsWith('_seconds')).toBe(true);
    expect([...buckets].sort((left, right) => left - right)).toEqual(buckets);
    for (const label of labels) expect(['user', 'key', 'api_key', 'prompt', 'team', 'request_id', 'trace_id']).not.toContain(label);
  }
});

test('every metric that operators were promised is there, with its labels', () => {
  const promised: Record<string, string[]> = {
    gateway_requests_total: ['route', 'model', 'provider', 'status'],
    gateway_request_duration_seconds: [],
    gateway_overhead_seconds: [],
    gateway_time_to_first_token_seconds: [],
    gateway_tokens_total: ['model', 'type'],
    gateway_spend_usd_total: ['model'],
    active_llm_streams: [],
    active_streams_count: [],
    router_decisions_total: ['strategy', 'model_version', 'selected_model'],
    router_decision_duration_seconds: ['strategy'],
    router_decision_timeouts_total: [],
    gateway_degraded_mode: ['service'],
    circuit_breaker_state: ['target'],
    gateway_config_info: ['revision'],
    sync_passes_total: ['app', 'outcome'],
    sync_last_success_timestamp_seconds: [],
    audit_export_failures_total: [],
    audit_events_dropped_total: [],
  };
  for (const [name, labels] of Object.entries(promised)) {
    const definition = definitions.find((known) => known.name === name);
    expect(definition?.labels ?? ['missing']).toEqual(expect.arrayContaining(labels));
  }
});
