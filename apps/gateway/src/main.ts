import { setFlagsFromString } from 'node:v8';
import { runService } from '@pointsman/service';
import { readGatewaySettings } from './settings.ts';
import { startGateway } from './start-gateway.ts';

// V8 runs a full collection whenever buffers have grown by a fixed 64 MB since the last one: at 36 KB a prompt that is every 1,700 requests, and
// marking the live heap was a quarter of their cost. With this flag buffers count towards the limit of the whole heap, which adapts.
setFlagsFromString('--external-memory-accounted-in-global-limit');

await runService(async (signal, service) => {
  const settings = readGatewaySettings(process.env);
  const gateway = await startGateway(settings);
  service.useTelemetry(gateway.telemetry);
  service.onReload(() => gateway.reload('SIGHUP'));
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  await gateway.drain();
  await gateway.close();
}, { name: 'pointsman-gateway', flushTimeoutMs: 2_000 });
