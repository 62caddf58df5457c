// Writes a tar archive (ustar) of texts in memory: for `outrigger debug`, whose archive people open with the tools they have.

const BLOCK_BYTES = 512
const FILE_MODE = '0000600'
const MAX_NAME_BYTES = 100

export function writeTar(files: ReadonlyMap<string, string>): Buffer {
  const parts: Buffer[] = []
  for (const [name, text] of files) {
    const content = Buffer.from(text)
    parts.push(header(name, content.length), content, Buffer.alloc((BLOCK_BYTES - (content.length % BLOCK_BYTES)) % BLOCK_BYTES))
  }
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK_BYTES)])
}

function header(name: string, size: number): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES)
  const put = (text: string, at: number): void => void block.write(text, at, 'latin1')
  put(name.slice(-MAX_NAME_BYTES), 0)
  put(FILE_MODE, 100)
  put('0000000', 108)
  put('0000000', 116)
  put(size.toString(8).padStart(11, '0'), 124)
  put(
    Math.floor(Date.now() / 1000)
      .toString(8)
      .padStart(11, '0'),
    136,
  )
  // The sum counts its own field as spaces.
  put('        ', 148)
  put('0', 156)
  put('ustar\0', 257)
  put('00', 263)
  put(
    `${block
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
  )
  return block
}
