# A crate's own tests, as its published source carries them: crate.sh build|run NAME VERSION SUM.
name=$2 version=$3 sum=$4
case $1 in
build)
    mkdir -p fetched/src
    printf '[package]\nname = "fetched"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n%s = "=%s"\n' "$name" "$version" >fetched/Cargo.toml
    : >fetched/src/lib.rs
    cd fetched
    cargo vendor -q --versioned-dirs >/dev/null
    grep -qF "checksum = \"$sum\"" Cargo.lock || { echo "$name $version has another sum"; exit 1; }
    cd ..
    cp -r "fetched/vendor/$name-$version" source
    rm -rf fetched
    cd source
    # A workspace of its own, wherever the cache lies.
    printf '\n[workspace]\n' >>Cargo.toml
    CARGO_PROFILE_TEST_DEBUG=0 CARGO_TARGET_DIR=../target cargo test -q --no-run --lib
    ;;
run)
    echo "# version $version"
    cd source
    # On one machine it otherwise leaves for the server's own socket (@@socket), and the gate sees nothing of it.
    export DATABASE_URL="mysql://$WEIR_USER:$WEIR_PASSWORD@$WEIR_HOST:$WEIR_PORT/test?prefer_socket=false" RUST_BACKTRACE=0
    CARGO_PROFILE_TEST_DEBUG=0 CARGO_TARGET_DIR=../target cargo test -q --no-fail-fast --lib -- --test-threads=1 --format=pretty 2>&1
    ;;
esac
