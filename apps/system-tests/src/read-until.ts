/** Reads a stream until a text has come, and leaves the rest where it is. */
export async function readUntil(response: Response, wanted: string): Promise<void> {
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  for (let text = ''; !text.includes(wanted);) {
    const { value, done } = await reader?.read() ?? { value: undefined, done: true };
    if (done) throw new Error(`the stream ended without ${wanted}: ${text}`);
    text += decoder.decode(value, { stream: true });
  }
}
