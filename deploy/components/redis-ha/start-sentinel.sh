#!/bin/sh
# Sentinel writes what it learns into its configuration: that file is on the pod's disk and written only once.
set -eu
conf=/data/sentinel.conf
if [ ! -f "$conf" ]; then
  cat > "$conf.new" <<X
port 26379
dir /data
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip $HOSTNAME.pointsman-redis
sentinel monitor pointsman pointsman-redis-0.pointsman-redis 6379 2
sentinel down-after-milliseconds pointsman 3000
sentinel failover-timeout pointsman 15000
sentinel parallel-syncs pointsman 1
X
  mv "$conf.new" "$conf"
fi
exec redis-server "$conf" --sentinel
