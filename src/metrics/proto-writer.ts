// Protobuf's wire format, as far as metrics need it: Prometheus' MetricFamily (prometheus-protobuf.ts, sinks/metrics-service-sink.ts) and
// OTLP (sinks/open-telemetry-sink.ts) have a dozen fields each, so they are written by hand: no protobuf runtime in the proxy.

export class ProtoWriter {
  private readonly parts: Uint8Array[] = []

  varint(field: number, value: number): this {
    return this.raw(varintBytes(field * 8), varintBytes(value))
  }

  /** sint32 and sint64: zigzag. */
  signed(field: number, value: number): this {
    return this.varint(field, value < 0 ? -2 * value - 1 : 2 * value)
  }

  double(field: number, value: number): this {
    const bytes = Buffer.alloc(8)
    bytes.writeDoubleLE(value)
    return this.raw(varintBytes(field * 8 + 1), bytes)
  }

  /** fixed64 and sfixed64. */
  fixed64(field: number, value: bigint): this {
    const bytes = Buffer.alloc(8)
    bytes.writeBigInt64LE(BigInt.asIntN(64, value))
    return this.raw(varintBytes(field * 8 + 1), bytes)
  }

  /** repeated double, packed. */
  doubles(field: number, values: readonly number[]): this {
    return this.raw(varintBytes(field * 8 + 2)).delimited(new Uint8Array(Float64Array.from(values).buffer))
  }

  /** repeated fixed64, packed. */
  fixed64s(field: number, values: readonly number[]): this {
    return this.raw(varintBytes(field * 8 + 2)).delimited(new Uint8Array(BigInt64Array.from(values, BigInt).buffer))
  }

  string(field: number, value: string): this {
    return this.raw(varintBytes(field * 8 + 2)).delimited(Buffer.from(value))
  }

  message(field: number, inner: ProtoWriter): this {
    return this.raw(varintBytes(field * 8 + 2)).delimited(inner.bytes())
  }

  delimited(bytes: Uint8Array): this {
    return this.raw(varintBytes(bytes.length), bytes)
  }

  raw(...parts: Uint8Array[]): this {
    this.parts.push(...parts)
    return this
  }

  bytes(): Buffer {
    return Buffer.concat(this.parts)
  }
}

function varintBytes(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80)
  bytes.push(rest)
  return Uint8Array.from(bytes)
}
