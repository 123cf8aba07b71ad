import type { MinilmSession } from '../onnx/minilm-session.ts';

/** `openMinilmSession` of the ONNX room, which is loaded only when this is called. */
export async function openMinilm(path: string): Promise<MinilmSession> {
  return (await import('../onnx/minilm-session.ts')).openMinilmSession(path);
}
