// The shape of the tables in this folder: for every Envoy message that the decoders read, each of its fields and what we do with
// it. A table is edited by hand when a decoder learns a field; field-support-table.ts joins them.

/** Field names separated by spaces where no note is needed; a note per field elsewhere. */
export interface MessageSupport {
  readonly supported: string
  readonly accepted?: Readonly<Record<string, string>>
  readonly refused?: Readonly<Record<string, string>>
}

/** Keyed by the message's full name. A type that may recurse into an ignored field is not listed. */
export type SupportTable = Readonly<Record<string, MessageSupport>>
