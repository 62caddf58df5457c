// DNS messages (RFC 1035, EDNS by RFC 6891) between bytes and values: the one place that knows which package reads them. Used by
// control/dns and by the fake DNS servers of the tests; upstream/dns asks through c-ares, which has a codec of its own.
// Invariant: bytes from the network never throw here; what is no message is undefined.
import dnsPacket, { type DecodedPacket, type Packet } from 'dns-packet'

export function decodeDnsMessage(bytes: Buffer): DecodedPacket | undefined {
  try {
    return dnsPacket.decode(bytes)
  } catch {
    return undefined
  }
}

export function encodeDnsMessage(message: Packet): Buffer {
  return dnsPacket.encode(message)
}
