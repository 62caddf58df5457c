// Buffer methods that Node has had since 0.x and @types/node leaves out: the cheapest way between bytes and latin1 strings.

interface Buffer {
  latin1Slice(start?: number, end?: number): string
  latin1Write(text: string, offset?: number, length?: number): number
}
