# Functions for .ci/run: bring what the tests talk to onto a bare Debian 12.

install_packages() {
    local missing=()
    for package in "$@"; do
        dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    echo "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

answers() { timeout 2 bash -c "exec 3<>/dev/tcp/127.0.0.1/$1" 2>/dev/null; }

wait_for_port() {
    for _ in $(seq 60); do
        answers "$1" && return
        sleep 0.5
    done
    echo "nothing answers on 127.0.0.1:$1" >&2
    return 1
}

start_postgresql() {
    answers 5432 && return
    install_packages postgresql
    local version
    version=$(ls /etc/postgresql | tail -n 1)
    # Loopback only, for tests: nobody else reaches this server.
    sed -i -E 's/^(host +all +all +(127\.0\.0\.1\/32|::1\/128) +).*/\1trust/' "/etc/postgresql/$version/main/pg_hba.conf"
    pg_ctlcluster --skip-systemctl-redirect "$version" main restart || pg_ctlcluster --skip-systemctl-redirect "$version" main start
    wait_for_port 5432
}

start_redis() {
    answers 6379 && return
    install_packages redis-server
    redis-server --daemonize yes --bind 127.0.0.1 --port 6379 --save "" --appendonly no
    wait_for_port 6379
}
