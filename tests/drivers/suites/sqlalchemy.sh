# SQLAlchemy's own tests of its MySQL dialect, of any dialect, and of its engine and pool.
. "$FILES/python.sh"
case $1 in
build)
    fetch sqlalchemy.txt
    ;;
run)
    echo "# version 2.1.9"
    cd source
    check "$PWD/lib" --dburi "mysql+$2://$WEIR_USER:$WEIR_PASSWORD@$WEIR_HOST:$WEIR_PORT/test?charset=utf8mb4" \
        test/dialect/mysql test/dialect/test_suite.py test/engine
    ;;
esac
