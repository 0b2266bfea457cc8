# go-sql-driver's own tests: its module carries them.
module=github.com/go-sql-driver/mysql version=v1.10.1 sum=h1:arlSnNLq6a5yxGxV7qg9lF4j0C+KwD6NbQyKr9QL6ME=
case $1 in
build)
    said=$(cd / && GOFLAGS=-mod=mod go mod download -json $module@$version)
    grep -qF "\"Sum\": \"$sum\"" <<<"$said" || { echo "$module $version has another sum: $said"; exit 1; }
    cp -r "$(sed -n 's/.*"Dir": "\(.*\)".*/\1/p' <<<"$said")" source
    chmod -R u+w source
    cd source
    go test -c -o ../suite.test
    ;;
run)
    echo "# version ${version#v}"
    cd source
    export MYSQL_TEST_USER=$WEIR_USER MYSQL_TEST_PASS=$WEIR_PASSWORD MYSQL_TEST_ADDR=$WEIR_HOST:$WEIR_PORT MYSQL_TEST_CONCURRENT=1
    # TestConnectorReturnsTimeout dials an address of the wide world: nothing here may leave the machine.
    ../suite.test -test.v -test.run '^Test' -test.skip '^TestConnectorReturnsTimeout$'
    ;;
esac
