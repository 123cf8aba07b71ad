#!/bin/sh
# Joins as a replica of whoever the sentinels call master; the first pod of a new set starts as master.
set -eu
me="$HOSTNAME.pointsman-redis"
master=""
for n in 0 1 2; do
  found=$(timeout 3 redis-cli -h "pointsman-redis-$n.pointsman-redis" -p 26379 --raw sentinel get-master-addr-by-name pointsman 2>/dev/null | head -n 1 || true)
  case "$found" in pointsman-redis-*) master=$found; break ;; esac
done
[ -n "$master" ] || master=pointsman-redis-0.pointsman-redis
set -- --dir /data --appendonly yes --appendfsync everysec --save "60 1" --replica-announce-ip "$me" --min-replicas-to-write 1 --min-replicas-max-lag 10 --repl-diskless-sync-delay 0
[ "$master" = "$me" ] || set -- "$@" --replicaof "$master" 6379
exec redis-server "$@"
