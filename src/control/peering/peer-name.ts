// What a peer may be called. Used where peerings are made and where registrations name them.

/** A label of DNS; `.` and `/` divide names of peers from others, there and in keys. */
export const PEER_NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/
