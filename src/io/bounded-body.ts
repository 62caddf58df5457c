// The body of a message that another has sent, whole and within a limit. Used by whoever asks or answers over HTTP outside of the data path.

/** Rejects with `tooLarge()` as soon as there is more than `mostBytes`; the rest is not read. */
export async function readBoundedBody(body: AsyncIterable<Uint8Array>, mostBytes: number, tooLarge: () => Error): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of body) {
    length += chunk.length
    if (length > mostBytes) throw tooLarge()
    chunks.push(chunk)
  }
  return Buffer.concat(chunks, length)
}

/** Of an answer that somebody waits for. */
export function readAnswerBody(body: AsyncIterable<Uint8Array>, mostBytes: number): Promise<Buffer> {
  return readBoundedBody(body, mostBytes, () => new Error(`the answer is larger than ${mostBytes} bytes`))
}
