// What gRPC takes as metadata of a call ("Custom-Metadata" of its protocol over HTTP/2): the libraries throw on anything else, when a stream is
// opened. Asked by config-source.ts and google-grpc.ts, so that it is an error of the configuration.

/** In lower case. */
export function isMetadataKey(key: string): boolean {
  return /^[0-9a-z_.-]+$/.test(key)
}

export function isMetadataValue(value: string): boolean {
  return /^[ -~]*$/.test(value)
}
