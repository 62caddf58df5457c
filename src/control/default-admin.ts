// Where a sidecar's admin endpoint listens when nobody says otherwise: in the bootstraps of the control plane, and for the commands that ask it.
// A file of its own, since declaring commands loads nothing of the control plane.
export const DEFAULT_ADMIN = '127.0.0.1:19000'
