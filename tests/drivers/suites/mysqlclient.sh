# mysqlclient's own tests, with the driver that the matrix has built.
. "$FILES/python.sh"
case $1 in
build)
    # Downloading a source package asks its build for a description, and that looks for the client library.
    export MYSQLCLIENT_CFLAGS=-I. MYSQLCLIENT_LDFLAGS=-L.
    fetch mysqlclient.txt
    ;;
run)
    echo "# version 2.3.2"
    cd source/tests
    cat >weir.cnf <<END
[MySQLdb-tests]
host = $WEIR_HOST
port = $WEIR_PORT
user = $WEIR_USER
password = $WEIR_PASSWORD
database = test
default-character-set = utf8mb4
END
    TESTDB=weir.cnf check "$PWD" .
    ;;
esac
