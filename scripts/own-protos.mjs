// The .proto files of our own, beside those of Envoy: each folder of the repository, and the folder of src/xds/gen that they are generated to.
// Read by generate-protos.mjs, which compiles them, and by build.mjs, which generates anew when one has changed.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'

/** Folder -> generated folder. */
export const OWN_PROTO_FOLDERS = {
  'src/control/grpc/proto': 'hashicorp',
  'src/control/store/etcd/proto': 'etcd',
  'src/sidecar/workload-api/proto': 'spiffe',
}

/** Paths from the repository's root, in order. */
export function ownProtoPaths(root) {
  return Object.keys(OWN_PROTO_FOLDERS).flatMap(folder =>
    readdirSync(join(root, folder))
      .sort()
      .map(name => `${folder}/${name}`),
  )
}
