# DBI with DBD::mysql or DBD::MariaDB, which its argument says.
use strict;
use warnings;
use DBI;
binmode STDOUT, ":utf8";
my $driver = $ARGV[0];
my $prefix = lc $driver;
my %env = map { $_ => $ENV{"WEIR_$_"} } qw(HOST PORT USER PASSWORD SCHEMA SCRATCH);
sub say_ { print join(" ", map { defined $_ ? $_ : "undef" } @_), "\n" }
sub value {
    my $v = shift;
    return "NULL" unless defined $v;
    return length($v) . " " . unpack("%32C*", $v =~ /[^\x00-\xff]/ ? join(",", map ord, split //, $v) : $v) if length $v > 100;
    return "'" . join("", map { ord($_) < 32 || ord($_) > 126 ? sprintf("\\x{%x}", ord $_) : $_ } split //, $v) . "'";
}
sub open_ {
    my ($more, $schema, $password) = @_;
    my $utf8 = $driver eq "mysql" ? ";mysql_enable_utf8mb4=1" : "";
    my $dsn = "DBI:$driver:database=" . ($schema // $env{SCHEMA}) . ";host=$env{HOST};port=$env{PORT}$utf8" . ($more // "");
    return DBI->connect($dsn, $env{USER}, $password // $env{PASSWORD}, { RaiseError => 0, PrintError => 0, AutoCommit => 1 });
}
sub told { my $h = shift; say_("error", $h->err, $h->state, $h->errstr) }
sub result {
    my $s = shift;
    while (1) {
        if ($s->{NUM_OF_FIELDS}) {
            say_("columns", join ", ", map { "$_" } @{ $s->{NAME} });
            for my $what ("type_name", "length", "is_num", "is_key", "is_blob", "table") {
                my $all = $s->{"${prefix}_$what"};
                say_($what, join ", ", map { value($_) } @$all) if $all;
            }
            say_("types", join ", ", map { value($_) } @{ $s->{TYPE} });
            while (my $row = $s->fetchrow_arrayref) { say_("row", join ", ", map { value($_) } @$row) }
            told($s) if $s->err;
        }
        say_("rows", $s->rows, "id", $s->{"${prefix}_insertid"}, "warnings", $s->{"${prefix}_warning_count"});
        last unless $s->more_results;
    }
}
sub ask {
    my ($c, $sql, @values) = @_;
    my $s = $c->prepare($sql) or return told($c);
    $s->execute(@values) or return told($s);
    result($s);
}
my $c = open_() or die DBI->errstr;
my $native = open_(";${prefix}_server_prepare=1") or die DBI->errstr;
my @session = ("CREATE TEMPORARY TABLE temp (id INT AUTO_INCREMENT PRIMARY KEY, v TEXT)", "INSERT INTO temp (v) VALUES ('a'), ('b')", "SELECT * FROM temp", "DROP TEMPORARY TABLE temp", "SET \@a = 5, \@b = 'text', \@d = 1.25", "SELECT \@a, \@b, \@d", "SET time_zone = '+05:30'", "SELECT \@\@time_zone, ts FROM types WHERE id = 1", "SET time_zone = DEFAULT", "SET SESSION sql_mode = 'ANSI_QUOTES'", "SELECT \"name\" FROM people WHERE id = 1", "SET SESSION sql_mode = DEFAULT", "SELECT SQL_CALC_FOUND_ROWS n FROM numbers WHERE n <= 1000 ORDER BY n LIMIT 2", "SELECT FOUND_ROWS() AS f", "SHOW TABLES", "EXPLAIN SELECT name FROM people WHERE id = 1");
my @errors = ("SELEC 1", "SELECT * FROM no_such_table", "SELECT nope FROM people", "INSERT INTO people (name) VALUES ('Ada')", "INSERT INTO people (name) VALUES (NULL)", "DELETE FROM people WHERE id = 1", "INSERT INTO types (id, ti) VALUES (9, 1000)", "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'mine', MYSQL_ERRNO = 5000", "CALL no_such_procedure()");
my @steps = (
    connect => sub {
        ask($c, "SELECT DATABASE(), CURRENT_USER(), \@\@autocommit, \@\@sql_mode, \@\@character_set_client, \@\@time_zone");
        ask($c, "SELECT CONNECTION_ID() = ? AS same", $c->{"${prefix}_thread_id"} // $c->{mysql_thread_id} // $c->{mariadb_thread_id});
        for (["", undef, "wrong"], ["", "no_such_schema"]) { say_(open_(@$_) ? "! it was let in" : ("error", DBI->err, $DBI::state)) }
    },
    "types-text" => sub { ask($c, "SELECT * FROM types ORDER BY id") },
    "types-prepared" => sub { ask($native, "SELECT * FROM types WHERE id = ?", $_) for 1 .. 4 },
    parameters => sub {
        for my $on ($c, $native) {
            ask($on, "SELECT HEX(?) AS v", $_) for 1, -1, "18446744073709551615", 1.5, "text", "it's \\ \"q\"", "\x{1f600} \x{fc}", "", undef;
            my $s = $on->prepare("SELECT id, name FROM people WHERE id IN (?, ?) ORDER BY id LIMIT ?");
            $s->bind_param(1, 1, DBI::SQL_INTEGER());
            $s->bind_param(2, 3, DBI::SQL_INTEGER());
            $s->bind_param(3, 2, DBI::SQL_INTEGER());
            $s->execute and result($s) or told($s);
        }
    },
    writes => sub {
        ask($c, $_) for "INSERT INTO people (name) VALUES ('x1'), ('x2'), ('x3')", "UPDATE people SET age = 1 WHERE name LIKE 'x%'", "UPDATE people SET age = 1 WHERE name LIKE 'x%'", "DELETE FROM people WHERE name = 'x2'", "INSERT IGNORE INTO numbers VALUES (1), (2001)", "SHOW WARNINGS";
        ask($native, "INSERT INTO people (name, age) VALUES (?, ?)", "Frances", 88);
        say_($native->last_insert_id(undef, undef, undef, undef));
        say_("done", $c->do("DELETE FROM people WHERE name LIKE 'x%'"));
        ask($c, "SELECT id, name, age FROM people ORDER BY id");
    },
    batches => sub {
        for my $on ($c, $native) {
            $on->begin_work;
            my $s = $on->prepare("INSERT INTO work (k, v) VALUES (?, ?)");
            $s->execute($_, "value $_") for 1 .. 100;
            $on->commit;
            ask($on, "SELECT COUNT(*), MAX(id), COUNT(DISTINCT v) FROM work");
        }
    },
    errors => sub { for my $sql (@errors) { say_("--", $sql); ask($c, $sql); ask($native, $sql) } },
    transactions => sub {
        $c->{AutoCommit} = 0;
        ask($c, "INSERT INTO work (k) VALUES (1000)");
        ask($native, "SELECT COUNT(*) FROM work WHERE k = 1000");
        $c->rollback;
        ask($c, "INSERT INTO work (k) VALUES (1001)");
        $c->commit;
        $c->{AutoCommit} = 1;
        ask($native, "SELECT k FROM work WHERE k IN (1000, 1001)");
    },
    procedures => sub {
        ask($c, "SET \@b = 10");
        ask($c, "CALL two_results(3, \@b, \@c)");
        ask($c, "SELECT \@b, \@c");
        ask($c, "CALL fails_late()");
        ask($c, "SELECT 'after'");
    },
    streaming => sub {
        my $s = $c->prepare("SELECT n, REPEAT('x', n) FROM numbers WHERE n <= 1000 ORDER BY n", { "${prefix}_use_result" => 1 });
        $s->execute or return told($s);
        my $sum = 0;
        while (my $row = $s->fetchrow_arrayref) { $sum += $row->[0] }
        say_("sum", $sum);
        $s->execute or return told($s);
        my $row = $s->fetchrow_arrayref;
        say_("first", $row ? $row->[0] : $s->errstr);
        $s->finish;
        ask($c, "SELECT 'after'");
    },
    "load-data" => sub {
        my $sql = "LOAD DATA LOCAL INFILE '$env{SCRATCH}/rows.csv' INTO TABLE loaded FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"'";
        my $local = open_(";${prefix}_local_infile=1") or return say_("! no connection", DBI->errstr);
        ask($local, $sql);
        ask($local, "SELECT * FROM loaded ORDER BY id, name");
        $local->disconnect;
        my $refused = open_(";${prefix}_local_infile=0");
        say_(defined $refused->do($sql) ? "loaded" : ("error", $refused->err));
        $refused->disconnect;
    },
    "catalogue" => sub {
        say_("ping", $c->ping ? "yes" : "no");
        say_(join ", ", map { value($_) } @$_[2, 3]) for @{ $c->table_info(undef, $env{SCHEMA}, "p%", "TABLE")->fetchall_arrayref };
        say_(join ", ", map { value($_) } @$_[3, 5, 6, 10]) for @{ $c->column_info(undef, $env{SCHEMA}, "people", "%")->fetchall_arrayref };
        say_("key", join ", ", $c->primary_key(undef, $env{SCHEMA}, "people"));
        say_($c->quote("it's"), $c->quote_identifier("a`b"));
    },
    session => sub { for my $sql (@session) { say_("--", $sql); ask($c, $sql) } },
    locks => sub {
        my $other = open_();
        ask($other, "SET SESSION innodb_lock_wait_timeout = 1");
        $c->begin_work;
        ask($c, "UPDATE locks SET n = n + 1 WHERE id = 1");
        ask($other, "SELECT * FROM locks WHERE id = 1 FOR UPDATE NOWAIT");
        ask($other, "UPDATE locks SET n = n + 1 WHERE id = 1");
        $c->rollback;
        $other->disconnect;
    },
    encrypted => sub {
        my $other = open_(";${prefix}_ssl=1" . ($driver eq "mysql" ? ";mysql_ssl_optional=1" : ";mariadb_ssl_optional=1")) or return say_("! no connection", DBI->errstr);
        ask($other, "SELECT name FROM people WHERE id <= 3 ORDER BY id");
        $other->disconnect;
    },
    compressed => sub {
        my $other = open_(";${prefix}_compression=1") or return say_("error", DBI->err, DBI->errstr);
        ask($other, "SELECT COUNT(*), REPEAT('z', 200000) FROM people");
        $other->disconnect;
    },
    closes => sub { $_->disconnect for $c, $native; say_(defined $c->do("DO 1") ? "it connects again" : ("error", $c->err)) },
);
my $version = $driver eq "mysql" ? eval { require DBD::mysql; $DBD::mysql::VERSION } : eval { require DBD::MariaDB; $DBD::MariaDB::VERSION };
say_("# version", $version);
while (my ($name, $run) = splice @steps, 0, 2) {
    say_("==", $name);
    eval { $run->(); 1 } or say_("!", $@ =~ s/\n/ /gr);
}
say_("== end");
