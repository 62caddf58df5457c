// One file of node-forge by itself; @types/node-forge describes the package as a whole.
declare module 'node-forge/lib/asn1.js' {
  import type forge from 'node-forge'

  const asn1: typeof forge.asn1
  export default asn1
}
