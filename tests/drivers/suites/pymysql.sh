# PyMySQL's own tests, with the driver that they came with: later source packages carry none but those of logins.
. "$FILES/python.sh"
case $1 in
build)
    fetch pymysql.txt
    ;;
run)
    echo "# version 0.10.1"
    cat >source/pymysql/tests/databases.json <<END
[{"host": "$WEIR_HOST", "port": $WEIR_PORT, "user": "$WEIR_USER", "passwd": "$WEIR_PASSWORD", "db": "test1", "use_unicode": true, "local_infile": true},
 {"host": "$WEIR_HOST", "port": $WEIR_PORT, "user": "$WEIR_USER", "passwd": "$WEIR_PASSWORD", "db": "test2"}]
END
    cd source
    check "$PWD" pymysql/tests
    ;;
esac
