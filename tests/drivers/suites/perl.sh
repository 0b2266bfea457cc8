# DBD::mysql's or DBD::MariaDB's own tests (TAP, a file each), with the driver that Debian has built from this source.
case $1 in
build)
    mkdir -p dbd
    tar -xzf source/*.orig.tar.gz -C dbd --strip-components=1
    ;;
run)
    cd dbd
    echo "# version $($RUN -MDBD::$2 -e "print \$DBD::$2::VERSION")"
    # The tests' own modules come with Perl, whose plain ones are of the system's; the same version, or they are not found.
    for plain in /usr/share/perl/5.*; do PERL5LIB=$PERL5LIB:$plain; done
    export DBI_DSN="DBI:$2:database=test;host=$WEIR_HOST;port=$WEIR_PORT" DBI_USER=$WEIR_USER DBI_PASS=$WEIR_PASSWORD
    for file in t/*.t; do
        status=0
        timeout 120 $RUN -I. -It "$file" >"$WEIR_SCRATCH/tap" 2>"$WEIR_SCRATCH/said" || status=$?
        [ $status = 0 ] && echo "PASS $file" || echo "FAIL $file"
        # Where numbers and addresses in a test's words change from run to run, its own number names it.
        sed -nE -e "s|^ok ([0-9]+).*# *(skip\|TODO).*|SKIP $file \1|pI;t" -e "s|^ok ([0-9]+).*|PASS $file \1|p;t" \
            -e "s|^not ok ([0-9]+).*|FAIL $file \1|p" "$WEIR_SCRATCH/tap"
        sed "s|^|# $file: |" "$WEIR_SCRATCH/said"
    done
    ;;
esac
