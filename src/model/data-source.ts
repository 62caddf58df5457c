// Where key material, roots and other bytes of the configuration come from (envoy.config.core.v3.DataSource) as model.

/** Where bytes come from (envoy.config.core.v3.DataSource). `watchedDirectory` '' = watch the file itself; `base64`: bytes that are no text. */
export type DataSource =
  | { readonly kind: 'inline'; readonly text: string; readonly base64?: string }
  | { readonly kind: 'file'; readonly path: string; readonly watchedDirectory: string }
  | { readonly kind: 'env'; readonly name: string }
