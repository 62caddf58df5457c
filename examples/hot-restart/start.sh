#!/bin/sh
# Started by hot-restarter.mjs, once for each epoch. The proxy takes the place of the shell, so that signals reach it.
exec outrigger-proxy -c "${BOOTSTRAP:-examples/static-bootstrap.yaml}" --restart-epoch "$RESTART_EPOCH" \
  --drain-time-s "${DRAIN_TIME_S:-60}" --parent-shutdown-time-s "${PARENT_SHUTDOWN_TIME_S:-90}" "$@"
