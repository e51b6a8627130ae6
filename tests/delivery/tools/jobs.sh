#!/usr/bin/env bash
# Stand-ins for the images of Kafka and of the S3 server in compose.jobs.yaml, for a machine that reaches no registry: once, as root, in
# buildah's store, of Debian's Java and of the servers that tests/events/tools/install.sh leaves. Prints KAFKA and S3. As in Apache's
# image, a user without rights starts the broker, and Apache's own program makes the settings of the variables.
set -euo pipefail
servers=${XDG_CACHE_HOME:-$HOME/.cache}/understudy
cache=$servers/delivery
kafka=localhost/understudy-test-kafka:4.4.0 s3=localhost/understudy-test-versitygw:1.8.0
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

has() { buildah inspect --type image "$1" >/dev/null 2>&1; }

make_kafka() {
  local container folder
  chmod 755 "$root"
  debootstrap --variant=minbase --include=openjdk-17-jre-headless "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$root" >"$cache/debootstrap-kafka.log" 2>&1
  rm -rf "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/usr/share/{doc,man,locale}/*
  mkdir -p "$root"/opt/kafka/config "$root"/etc/kafka/docker "$root"/mnt/shared/config "$root"/var/lib/kafka/data
  cp -r "$servers/kafka/libs" "$root/opt/kafka/libs"
  touch "$root/etc/kafka/docker/server.properties"
  # Nobody reads it: slf4j-simple takes the place of log4j, but Apache's program wants it.
  printf 'Configuration:\n  Loggers:\n    Root:\n      level: warn\n' | tee "$root"/etc/kafka/docker/{,tools-}log4j2.yaml
  cat >"$root/etc/kafka/docker/run" <<'END'
#!/bin/bash
export CLUSTER_ID=${CLUSTER_ID:-dW5kZXJzdHVkeS10ZXN0MQ}
java=(java $KAFKA_HEAP_OPTS -cp '/opt/kafka/libs/*')
said=$("${java[@]}" kafka.docker.KafkaDockerWrapper setup --default-configs-dir /etc/kafka/docker \
  --mounted-configs-dir /mnt/shared/config --final-configs-dir /opt/kafka/config 2>&1) ||
  grep --quiet 'already formatted' <<<"$said" || { echo "$said"; exit 1; }
exec "${java[@]}" kafka.Kafka /opt/kafka/config/server.properties
END
  chmod 755 "$root/etc/kafka/docker/run"
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$root" /
  for folder in opt/kafka var/lib/kafka mnt/shared; do
    buildah add --quiet --chown 1000:1000 "$container" "$root/$folder" "/$folder"
  done
  buildah config --user 1000:1000 --volume /var/lib/kafka/data --cmd /etc/kafka/docker/run "$container"
  buildah commit --quiet --rm "$container" "$kafka"
}

make_s3() {
  local container
  container=$(buildah from scratch)
  buildah add --quiet "$container" "$servers/bin/versitygw" /usr/local/bin/versitygw
  buildah config --entrypoint '["/usr/local/bin/versitygw"]' "$container"
  buildah commit --quiet --rm "$container" "$s3"
}

has "$kafka" || make_kafka >&2
has "$s3" || make_s3 >&2
printf '%s\n' "KAFKA=$kafka" "S3=$s3"
