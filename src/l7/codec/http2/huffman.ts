// HPACK's static Huffman code (RFC 7541 Appendix B). The code is canonical: within one length the codes count up in symbol order, so
// the lengths alone define it. Decoding walks a table four bits at a time (256 inner nodes × 16 entries, 16 KB: it stays in the
// first-level cache); one nibble ends at most one symbol, since the shortest code has five bits. Called by hpack-decoder only.
// We never encode with Huffman: our peers share a link with us, and the bytes saved cost more time than they are worth.

/** Bits of the code of each octet; the end-of-string symbol (256) has 30. */
// biome-ignore format: sixteen symbols a line, as the appendix is read
export const HUFFMAN_LENGTHS: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
  28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
  6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
  21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
]

const EOS = 256

/** Code of each symbol (EOS last), right-aligned; its length is in HUFFMAN_LENGTHS. */
export const HUFFMAN_CODES: readonly number[] = canonicalCodes()

function canonicalCodes(): number[] {
  const order = HUFFMAN_LENGTHS.map((_, symbol) => symbol).sort((a, b) => HUFFMAN_LENGTHS[a]! - HUFFMAN_LENGTHS[b]! || a - b)
  const codes = new Array<number>(HUFFMAN_LENGTHS.length).fill(0)
  let code = 0
  let length = HUFFMAN_LENGTHS[order[0]!]!
  for (const symbol of order) {
    code <<= HUFFMAN_LENGTHS[symbol]! - length
    length = HUFFMAN_LENGTHS[symbol]!
    codes[symbol] = code++
  }
  return codes
}

// Entry: bits 0–7 the next node, bits 8–15 the symbol, then flags.
const EMIT = 1 << 16
const ACCEPT = 1 << 17 // ending here is valid padding: at most seven bits, all ones (§5.2)
const FAIL = 1 << 18 // the whole EOS code was seen

const TABLE = buildTable()

function buildTable(): Int32Array {
  // A binary trie: child[2n], child[2n+1]; a leaf is -(symbol + 1); 0 is "not there yet", as the root is nobody's child.
  const child: number[] = [0, 0]
  const padding: boolean[] = [true]
  for (let symbol = 0; symbol < HUFFMAN_LENGTHS.length; symbol++) {
    let node = 0
    for (let bit = HUFFMAN_LENGTHS[symbol]! - 1; bit >= 0; bit--) {
      const slot = node * 2 + ((HUFFMAN_CODES[symbol]! >>> bit) & 1)
      if (bit === 0) child[slot] = -(symbol + 1)
      else if (child[slot] === 0) {
        child[slot] = child.length / 2
        child.push(0, 0)
        padding.push(false)
      }
      node = child[slot]!
    }
  }
  // Nodes reached by up to seven one bits.
  for (let node = child[1]!, depth = 1; depth <= 7; depth++, node = child[node * 2 + 1]!) padding[node] = true

  const table = new Int32Array((child.length / 2) * 16)
  for (let start = 0; start < child.length / 2; start++) {
    for (let nibble = 0; nibble < 16; nibble++) {
      let node = start
      let entry = 0
      for (let bit = 3; bit >= 0; bit--) {
        const next = child[node * 2 + ((nibble >>> bit) & 1)]!
        if (next >= 0) {
          node = next
        } else if (-next - 1 === EOS) {
          entry = FAIL
          node = 0
          break
        } else {
          entry |= EMIT | ((-next - 1) << 8)
          node = 0
        }
      }
      if (padding[node]) entry |= ACCEPT
      table[start * 16 + nibble] = entry | node
    }
  }
  return table
}

/**
 * Decode `buffer[start, end)` into `into` (at least 8/5 of the input long). Returns the decoded length, or -1 when the input holds EOS
 * or ends with padding that is too long or not all ones (RFC 7541 §5.2). HOT: most literals of other peers.
 */
export function decodeHuffman(buffer: Uint8Array, start: number, end: number, into: Uint8Array): number {
  let entry = ACCEPT
  let length = 0
  for (let i = start; i < end; i++) {
    const byte = buffer[i]!
    entry = TABLE[((entry & 0xff) << 4) | (byte >>> 4)]!
    if ((entry & (EMIT | FAIL)) !== 0) {
      if ((entry & FAIL) !== 0) return -1
      into[length++] = (entry >>> 8) & 0xff
    }
    entry = TABLE[((entry & 0xff) << 4) | (byte & 15)]!
    if ((entry & (EMIT | FAIL)) !== 0) {
      if ((entry & FAIL) !== 0) return -1
      into[length++] = (entry >>> 8) & 0xff
    }
  }
  return (entry & ACCEPT) === 0 ? -1 : length
}
