# PHP's own tests of mysqli or of PDO_MYSQL, by PHP's own runner, with the mysqlnd that Debian has built from this source.
case $1 in
build)
    mkdir -p php
    tar -xJf source/php*.orig.tar.xz -C php --strip-components=1 --wildcards '*/run-tests.php' '*/ext/mysqli/tests' \
        '*/ext/pdo_mysql/tests' '*/ext/pdo/tests'
    # The runner starts one program.
    printf '#!/bin/sh\nexec %s "$@"\n' "$RUN" >php/php
    chmod +x php/php
    # Tests that ask the resolver for names that there are not: nothing here may leave the machine.
    rm -f $(grep -lE 'unknown(host|_host)|host \. .?unknown' -r php/ext --include='*.phpt')
    ;;
run)
    cd php
    echo "# version $(./php -r 'echo PHP_VERSION;')"
    export MYSQL_TEST_HOST=$WEIR_HOST MYSQL_TEST_PORT=$WEIR_PORT MYSQL_TEST_USER=$WEIR_USER MYSQL_TEST_PASSWD=$WEIR_PASSWORD
    export MYSQL_TEST_DB=test PDO_MYSQL_TEST_DSN="mysql:host=$WEIR_HOST;port=$WEIR_PORT;dbname=test"
    export PDO_MYSQL_TEST_USER=$WEIR_USER PDO_MYSQL_TEST_PASS=$WEIR_PASSWORD
    export PDO_MYSQL_TEST_HOST=$WEIR_HOST PDO_MYSQL_TEST_PORT=$WEIR_PORT PDO_MYSQL_TEST_DB=test
    export NO_INTERACTION=1 REPORT_EXIT_STATUS=0 SKIP_ONLINE_TESTS=1 TEST_TIMEOUT=60
    # WEIR_SUITES_ONLY names some of them, to look at one that differs.
    ./php run-tests.php -q -p "$PWD/php" --no-color --no-progress ${WEIR_SUITES_ONLY:-"ext/$2/tests"} |
        sed -n 's/^\(PASS\|FAIL\|SKIP\) .*\[\(ext[^]]*\.phpt\)\].*/\1 \2/p'
    ;;
esac
